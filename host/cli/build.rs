//! Finds the commit that is built, for `--version`: of git where this is a checkout, of the file
//! `commit` where it is an archive that git made (`.gitattributes`). A debug build does not ask:
//! each commit would build it again.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Digits of a commit's number that are shown.
const DIGITS: usize = 12;

fn main() {
    let built = match env::var("PROFILE").as_deref() {
        Ok("debug") => {
            println!("cargo:rerun-if-changed=build.rs");
            Some("debug build".to_owned())
        }
        _ => {
            // All that is compiled into it.
            for part in ["commit", "../../host", "../../guest-sdk/wit", "../../Cargo.lock"] {
                println!("cargo:rerun-if-changed={part}");
            }
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            if let Some(head) = head_file(&root) {
                println!("cargo:rerun-if-changed={}", head.display());
            }
            commit(&root)
        }
    };
    if let Some(built) = built {
        println!("cargo:rustc-env=GRID_BUILT_OF={built}");
    }
}

/// The commit of the sources in `root`; `None` where nobody knows.
pub fn commit(root: &Path) -> Option<String> {
    let text = fs::read_to_string(root.join("host/cli/commit")).unwrap_or_default();
    let archived = text.trim();
    if is_commit(archived) {
        return Some(short(archived));
    }
    is_checkout(root).then_some(())?;
    let head = git(root, &["rev-parse", "HEAD"]).filter(|head| is_commit(head))?;
    let changed = git(root, &["status", "--porcelain", "--untracked-files=no"])?;
    let changed = if changed.is_empty() { "" } else { " and changes" };
    Some(short(&head) + changed)
}

/// True where `root` is a checkout itself: an archive may be unpacked within another's.
fn is_checkout(root: &Path) -> bool {
    let top = git(root, &["rev-parse", "--show-toplevel"]).map(PathBuf::from);
    let same = top.and_then(|top| Some(top.canonicalize().ok()? == root.canonicalize().ok()?));
    same.unwrap_or_default()
}

/// What changes with each commit.
fn head_file(root: &Path) -> Option<PathBuf> {
    is_checkout(root).then_some(())?;
    let path = root.join(git(root, &["rev-parse", "--git-path", "logs/HEAD"])?);
    path.exists().then_some(path)
}

fn git(root: &Path, args: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    // As a hook has it, which would name another repository.
    git.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE");
    let output = git.arg("-C").arg(root).args(args).output().ok()?;
    output.status.success().then_some(())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

fn is_commit(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn short(commit: &str) -> String {
    format!("commit {}", commit.get(..DIGITS).unwrap_or(commit))
}
