//! A command that tells what it finds: its environment, the directory at `/data`, and how each
//! attempt ends to leave that directory or to change it.

use std::{env, fs, io};

fn main() -> io::Result<()> {
    let mut variables: Vec<_> = env::vars().collect();
    variables.sort();
    for (name, value) in variables {
        println!("env {name}={value}");
    }
    match fs::read_dir("/data") {
        Err(error) => println!("no /data: {:?}", error.kind()),
        Ok(entries) => {
            for entry in entries {
                let entry = entry?;
                let size = fs::metadata(entry.path()).map(|found| found.len());
                println!("entry {} {:?}", entry.file_name().display(), size.map_err(|e| e.kind()));
            }
            println!("file {}", fs::read_to_string("/data/in/deep.txt")?);
        }
    }
    for path in ["/data/../outside.txt", "/data/out", "/data/absolute", "/etc/passwd", "/", "../.."] {
        println!("read {path}: {:?}", fs::read(path).map_err(|error| error.kind()));
    }
    println!("write: {:?}", fs::write("/data/new.txt", "x").map_err(|error| error.kind()));
    println!("append: {:?}", fs::OpenOptions::new().append(true).open("/data/one.txt").is_err());
    println!("remove: {:?}", fs::remove_file("/data/one.txt").map_err(|error| error.kind()));
    println!("make: {:?}", fs::create_dir("/data/dir").map_err(|error| error.kind()));
    println!("rename: {:?}", fs::rename("/data/one.txt", "/data/two.txt").is_err());
    Ok(())
}
