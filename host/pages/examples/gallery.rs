//! Writes every page with made-up content into a folder, with the files that pages name: to be looked
//! at in a browser, without a grid.

mod samples;

use std::{env, error::Error, fs, path::Path};

use wasmgrid_pages::{Liveness, Shell, assets};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("usage: gallery FOLDER")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder.join("pictures"))?;
    for (path, asset) in assets() {
        let file = folder.join(path.trim_start_matches('/'));
        fs::create_dir_all(file.parent().unwrap_or(folder))?;
        fs::write(file, asset.bytes)?;
    }
    for number in 0..8 {
        fs::write(folder.join(format!("pictures/{number}.svg")), picture(number))?;
    }
    for (name, shell, page) in samples::pages() {
        // There is no stream behind a file.
        let live = match shell.live {
            Liveness::Live => Liveness::Still,
            other => other,
        };
        write(folder, name, &page.html(&Shell { live, ..shell }))?;
    }
    for (name, door) in samples::doors() {
        write(folder, name, &door.html())?;
    }
    Ok(())
}

/// A page whose files are found beside it.
fn write(folder: &Path, name: &str, html: &str) -> std::io::Result<()> {
    let html = html.replace("=\"/assets/", "=\"assets/").replace("=\"/pictures/", "=\"pictures/");
    fs::write(folder.join(format!("{name}.html")), html)
}

fn picture(number: u32) -> String {
    let colour = number * 40;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 8 8\">\
         <path fill=\"hsl({colour} 50% 25%)\" d=\"M0 0h8v8H0z\"/>\
         <circle cx=\"{}\" cy=\"4\" r=\"3\" fill=\"hsl({colour} 60% 60%)\"/></svg>",
        1 + number % 6
    )
}
