//! Makes a PNG of a picture that is written as text: a line a row, a character a pixel, from `0`
//! (black) to `o`, the 63 shades of a sky. One task, whose input is the whole text.

use wasmgrid::Error;

/// The character of the first shade.
const FIRST: u8 = b'0';

/// How many shades there are, the black one with them.
const SHADES: u8 = 64;

#[wasmgrid::task]
fn picture(text: &[u8]) -> Result<Vec<u8>, Error> {
    let rows: Vec<&[u8]> =
        text.split(|&byte| byte == b'\n').filter(|row| !row.is_empty()).collect();
    let Some(first) = rows.first() else {
        return Err(Error::rejected("there are no rows"));
    };
    let mut pixels = Vec::with_capacity(text.len());
    for (y, row) in rows.iter().enumerate() {
        if row.len() != first.len() {
            let (here, there) = (row.len(), first.len());
            return Err(Error::rejected(format_args!(
                "row {} has {here} pixels, and the first has {there}",
                y + 1
            )));
        }
        for (x, &character) in row.iter().enumerate() {
            pixels.push(shade(character).ok_or_else(|| {
                Error::rejected(format_args!("row {}, column {}: not a shade", y + 1, x + 1))
            })?);
        }
    }
    encode(first.len(), rows.len(), &pixels)
}

fn shade(character: u8) -> Option<u8> {
    character.checked_sub(FIRST).filter(|&shade| shade < SHADES)
}

fn encode(width: usize, height: usize, pixels: &[u8]) -> Result<Vec<u8>, Error> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width.try_into()?, height.try_into()?);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette((0..SHADES).flat_map(colour).collect::<Vec<u8>>());
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

/// Black, then from night blue over white to amber.
fn colour(shade: u8) -> [u8; 3] {
    const STOPS: [[i32; 3]; 4] = [[6, 12, 48], [40, 96, 190], [240, 248, 255], [255, 160, 0]];
    let Some(step) = shade.checked_sub(1).map(i32::from) else { return [0, 0, 0] };
    // 63 steps over three stretches of one length.
    let (stretch, part) = ((step * 3 / 63).min(2), step * 3 % 63);
    let (from, to) = (STOPS[stretch as usize], STOPS[stretch as usize + 1]);
    [0, 1, 2].map(|i| (from[i] + (to[i] - from[i]) * part / 63) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_where_it_was() {
        let file = picture(b"0o\n1P\n09\n").unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (2, 3));
        assert_eq!(pixels, [0, 63, 1, 32, 0, 9]);
    }

    #[test]
    fn colours_go_from_black_over_night_to_amber() {
        assert_eq!([colour(0), colour(1)], [[0, 0, 0], [6, 12, 48]]);
        assert_eq!(colour(63), [254, 165, 13]);
    }

    #[test]
    fn a_crooked_text_is_rejected_with_the_place() {
        let message = |text: &[u8]| picture(text).unwrap_err().message().to_owned();
        assert_eq!(message(b"00\n000"), "row 2 has 3 pixels, and the first has 2");
        assert_eq!(message(b"00\n0!"), "row 2, column 2: not a shade");
        assert_eq!(message(b""), "there are no rows");
    }
}
