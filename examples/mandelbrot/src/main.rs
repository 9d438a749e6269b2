//! Draws the Mandelbrot set: task `n` draws the n-th band of rows, as text: a character a pixel.
//! All bands in order are the picture; the example `picture` makes a PNG of it.

/// Pixels a row.
const WIDTH: u32 = 576;

/// Rows of the whole picture.
const HEIGHT: u32 = 384;

/// Rows of one task.
const BAND: u32 = 8;

/// Bands of the whole picture: `--range 0..48` draws it.
const BANDS: u32 = HEIGHT / BAND;

/// Side of a pixel in the plane; the picture's middle is at (-0.7, 0).
const PIXEL: f64 = 1.0 / 192.0;

/// A point that has not left the circle by then is taken to be in the set.
const ITERATIONS: u32 = 2_000;

#[wasmgrid::task]
fn mandelbrot(band: u32) -> Result<String, wasmgrid::Error> {
    if band >= BANDS {
        return Err(wasmgrid::Error::rejected(format_args!(
            "there is no band {band}: they are 0 to {}",
            BANDS - 1
        )));
    }
    let rows: Vec<String> = (band * BAND..(band + 1) * BAND).map(row).collect();
    Ok(rows.join("\n"))
}

fn row(y: u32) -> String {
    let im = (f64::from(y) + 0.5 - f64::from(HEIGHT) / 2.0) * PIXEL;
    (0..WIDTH)
        .map(|x| {
            let re = (f64::from(x) + 0.5 - f64::from(WIDTH) / 2.0) * PIXEL - 0.7;
            shade(escape_time(re, im))
        })
        .collect()
}

/// After how many steps of z -> z^2 + c the point leaves the circle of radius 2, if it does.
fn escape_time(re: f64, im: f64) -> Option<u32> {
    let (mut x, mut y) = (0.0, 0.0);
    (0..ITERATIONS).find(|_| {
        (x, y) = (x * x - y * y + re, 2.0 * x * y + im);
        x * x + y * y > 4.0
    })
}

/// `0` for the set itself, and up to `o` outside: 63 shades, the first ones for the quickest.
fn shade(escape_time: Option<u32>) -> char {
    let step = match escape_time {
        None => 0,
        Some(time @ 0..32) => time + 1,
        // From here on a shade stands for more and more steps, or the rest would be noise.
        Some(time) => (33 + 4 * (time.ilog2() - 5)).min(63),
    };
    char::from(b'0' + step as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_is_eight_rows_of_the_picture() {
        let band = mandelbrot(24).unwrap();
        assert_eq!(band.lines().map(str::len).collect::<Vec<_>>(), [576; 8]);
    }

    #[test]
    fn the_picture_is_its_own_mirror_image() {
        let turned: Vec<String> = mandelbrot(10).unwrap().lines().rev().map(Into::into).collect();
        assert_eq!(turned.join("\n"), mandelbrot(BANDS - 1 - 10).unwrap());
    }

    #[test]
    fn points_of_the_set_stay_and_others_leave() {
        assert_eq!([escape_time(0.0, 0.0), escape_time(-1.0, 0.0)], [None, None]);
        assert_eq!(escape_time(2.0, 2.0), Some(0));
        assert_eq!([None, Some(0), Some(31), Some(1_999)].map(shade), ['0', '1', 'P', 'e']);
    }

    #[test]
    fn a_band_that_is_not_there_is_rejected() {
        assert!(mandelbrot(48).unwrap_err().message().contains("no band 48"));
    }
}
