//! The pages of the real binary, asked for as a browser without scripts asks.

use std::process::Command;

use wasmgrid_tests::Grid;

use crate::http::{Web, gateway, has_curl, joined};

/// A browser: what it keeps is in a file.
struct Browser<'a> {
    web: &'a Web,
    jar: String,
}

impl Browser<'_> {
    /// The status and the body of an answer, and where it leads.
    fn ask(&self, args: &[&str], url: &str) -> (u16, String, String) {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-b", &self.jar, "-c", &self.jar]);
        curl.args(["-w", "\n%{http_code} %{redirect_url}"]).args(args).arg(url);
        let done = curl.output().expect("curl is here");
        let text = String::from_utf8(done.stdout).expect("UTF-8");
        let (body, end) = text.rsplit_once('\n').expect("a status");
        let (status, onward) = end.split_once(' ').expect("a status");
        (status.parse().expect("a number"), body.into(), onward.into())
    }

    fn page(&self, path: &str) -> (u16, String, String) {
        self.ask(&[], &format!("{}{path}", self.web.url))
    }
}

/// The token against forgery of a page.
fn token(page: &str) -> &str {
    let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form");
    rest.split('"').next().expect("a value")
}

#[test]
fn a_browser_logs_in_once_by_the_link_and_out() {
    if !has_curl() {
        return;
    }
    let grid = Grid::start(1, 2);
    let machine = joined(&grid);
    let (_gateway, web) = gateway(&grid, &machine);
    let jar = |name: &str| machine.path().join(name).display().to_string();
    let browser = Browser { web: &web, jar: jar("jar") };
    let (status, _, onward) = browser.page("/");
    assert_eq!((status, onward), (303, format!("{}/login", web.url)));
    let link = grid.run(&["ui", "--print", "--http", &web.url]).ok().trim().to_owned();
    // Whoever looks at the link, as programs that check links do, uses nothing up.
    for _ in 0..2 {
        let (status, page, _) = browser.ask(&[], &link);
        assert!(status == 200 && page.contains("Log in"), "{page}");
    }
    let (status, _, onward) = browser.ask(&["-X", "POST"], &link);
    assert_eq!((status, onward), (303, format!("{}/", web.url)));
    let other = Browser { web: &web, jar: jar("other") };
    let (status, page, _) = other.ask(&["-X", "POST"], &link);
    assert!(status == 403 && page.contains("used up or too old"), "{page}");
    // It is the operator who asked for the link, and sees what operators see.
    let (status, page, _) = browser.page("/");
    assert!(status == 200 && page.contains("operator"), "{page}");
    assert!(page.contains("0 of 2 slots are busy") || page.contains("Nothing runs."), "{page}");
    let (status, workers, _) = browser.page("/workers");
    assert!(status == 200 && workers.contains("w1"), "{workers}");
    let (status, keys, _) = browser.page("/keys");
    assert!(status == 200 && keys.contains("browser") && !keys.contains("wgk1_"), "{keys}");
    let form = format!("csrf={}", token(&page));
    let logout = format!("{}/logout", web.url);
    let (status, _, onward) = browser.ask(&["-d", &form], &logout);
    assert_eq!((status, onward), (303, format!("{}/login?out", web.url)));
    let (status, _, onward) = browser.page("/");
    assert_eq!((status, onward), (303, format!("{}/login", web.url)));
}
