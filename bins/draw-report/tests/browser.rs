//! The page in a real browser, from a file, without a network: on a wide and a narrow screen, light, dark and on paper.
//!
//! Pictures of it are left in the directory that `UNDERSTUDY_PICTURES` names, for people to look at.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may panic as well as the test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What browsers are called that know these options.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Asks the page in the frame what a reader would see, and writes the answers where `--dump-dom` prints them. The page itself
/// may run no script.
const QUESTIONS: &str = r#"<!DOCTYPE html><body style="margin:0"><iframe id="page" style="border:0" width="WIDTH" height="2000" src="report.html"></iframe>
<pre id="answers"></pre><script>
document.getElementById('page').onload = () => {
  const doc = document.getElementById('page').contentDocument, view = doc.defaultView;
  const box = element => element.getBoundingClientRect();
  const shown = [...doc.querySelectorAll('svg')].filter(svg => box(svg).width > 0);
  const words = shown.flatMap(svg => [...svg.querySelectorAll('text')]).filter(text => text.textContent.trim());
  const outside = words.filter(text => {
    const own = box(text), all = box(text.closest('svg'));
    return own.left < all.left - 1 || own.right > all.right + 1 || own.top < all.top - 1 || own.bottom > all.bottom + 1;
  });
  const wide = [...doc.querySelectorAll('body *')].filter(element => !element.closest('.scroll') && !element.closest('svg')
    && box(element).width > 0 && box(element).right > view.innerWidth + 1);
  const verdict = doc.querySelector('.verdict strong');
  document.getElementById('answers').textContent = [
    'pictures=' + shown.length,
    'verdict=' + verdict.textContent,
    'verdict_on_first_screen=' + (box(verdict).bottom < 640 && box(verdict).height > 20),
    'overflows=' + (doc.documentElement.scrollWidth > view.innerWidth) + wide.slice(0, 3).map(e => ' ' + e.outerHTML.slice(0, 80)),
    'smallest_words_px=' + Math.min(...words.map(text => box(text).height)).toFixed(1),
    'words_outside=' + outside.slice(0, 5).map(text => text.textContent),
    'ink=' + view.getComputedStyle(doc.body).color,
    'page=' + view.getComputedStyle(doc.body).backgroundColor,
    'bars=' + view.getComputedStyle(shown[0].querySelector('[fill="\#0072B2"]')).fill,
    'END'].join('\n');
};
</script>"#;

/// A browser and a directory that is its own, with the page of a sample in it.
struct Browser {
    program: PathBuf,
    dir: tempfile::TempDir,
}

impl Browser {
    fn with_page_of(sample: &str) -> Browser {
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../reports/samples").join(sample);
        Browser::with_page(Command::new(env!("CARGO_BIN_EXE_draw-report")).arg(run))
    }

    fn with_page(draw: &mut Command) -> Browser {
        let (dir, drawn) = (tempfile::tempdir().unwrap(), draw.output().unwrap());
        assert!(drawn.status.success());
        fs::write(dir.path().join("report.html"), drawn.stdout).unwrap();
        let path = std::env::var_os("PATH").unwrap();
        let program = std::env::split_paths(&path)
            .flat_map(|dir| BROWSERS.map(|name| dir.join(name)))
            .find(|program| program.is_file())
            .expect("a browser: chromium, of Debian's package of that name");
        Browser { program, dir }
    }

    fn run(&self, options: &[&str], file: &str) -> Vec<u8> {
        let own = format!("--user-data-dir={}", self.dir.path().join("browser").display());
        let address = format!("file://{}", self.dir.path().join(file).display());
        let mut command = Command::new("timeout");
        command.arg("120").arg(&self.program).args(["--headless=new", "--disable-gpu", "--hide-scrollbars", &own]);
        command.args(["--no-first-run", "--disable-background-networking", "--allow-file-access-from-files"]);
        // Root has no other sandbox. The page is ours, and may do nothing.
        if is_root() {
            command.arg("--no-sandbox");
        }
        let output = command.args(options).arg(address).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// The answers to the questions above, on a screen so wide.
    fn ask(&self, width: u32, options: &[&str]) -> Vec<String> {
        fs::write(self.dir.path().join("ask.html"), QUESTIONS.replace("WIDTH", &width.to_string())).unwrap();
        let options = [&["--window-size=1400,2200", "--virtual-time-budget=5000", "--dump-dom"], options].concat();
        let dom = String::from_utf8(self.run(&options, "ask.html")).unwrap();
        let answers = dom.split_once("<pre id=\"answers\">").unwrap().1.split_once("</pre>").unwrap().0;
        assert!(answers.ends_with("END"), "the page was not asked: {dom}");
        answers.lines().map(str::to_owned).collect()
    }

    /// Leaves a picture where somebody wants to see it; the page as it looks.
    fn picture(&self, name: &str, options: &[&str], file: &str) {
        let to = std::env::var_os("UNDERSTUDY_PICTURES").map_or(self.dir.path().to_owned(), PathBuf::from);
        let path = to.join(name);
        let what = if name.ends_with(".pdf") { "--print-to-pdf" } else { "--screenshot" };
        self.run(&[options, &[&format!("{what}={}", path.display())]].concat(), file);
        assert!(fs::metadata(&path).unwrap().len() > 20_000, "{} is empty", path.display());
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

fn answer<'a>(answers: &'a [String], name: &str) -> &'a str {
    answers
        .iter()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or_else(|| panic!("{name}: {answers:?}"))
}

const DARK: &str = "--blink-settings=preferredColorScheme=0";

#[test]
#[ignore = "needs a browser; cargo xtask test runs it where there is one"]
fn in_a_browser_nothing_overflows_and_all_words_can_be_read() {
    let browser = Browser::with_page_of("drill-broken");
    for (width, options) in [(1280, &[][..]), (360, &[]), (1280, &[DARK]), (360, &[DARK])] {
        let answers = browser.ask(width, options);
        let is = |name| answer(&answers, name);
        assert_eq!((is("verdict"), is("verdict_on_first_screen")), ("broken", "true"), "{width}: {answers:?}");
        assert_eq!((is("overflows"), is("words_outside")), ("false", ""), "{width}: {answers:?}");
        assert!(is("smallest_words_px").parse::<f64>().unwrap() >= 10.0, "{width}: {answers:?}");
        assert_eq!(is("pictures"), "5", "each once: {answers:?}");
        let dark = !options.is_empty();
        assert_eq!(is("page"), if dark { "rgb(22, 25, 29)" } else { "rgb(255, 255, 255)" });
        assert_eq!(is("bars"), if dark { "rgb(63, 160, 221)" } else { "rgb(0, 114, 178)" });
    }
}

#[test]
#[ignore = "needs a browser; cargo xtask test runs it where there is one"]
fn in_a_browser_the_price_list_can_be_read_too() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/made-up/modes.csv");
    let browser = Browser::with_page(Command::new(env!("CARGO_BIN_EXE_draw-report")).arg("--modes").arg(file));
    for (width, options) in [(1280, &[][..]), (360, &[]), (1280, &[DARK]), (360, &[DARK])] {
        let answers = browser.ask(width, options);
        let is = |name| answer(&answers, name);
        assert_eq!(is("verdict_on_first_screen"), "true", "{width}: {answers:?}");
        assert_eq!((is("overflows"), is("words_outside")), ("false", ""), "{width}: {answers:?}");
        assert!(is("smallest_words_px").parse::<f64>().unwrap() >= 10.0, "{width}: {answers:?}");
        assert_eq!(is("pictures"), "1", "{answers:?}");
        let dark = !options.is_empty();
        assert_eq!(is("bars"), if dark { "rgb(63, 160, 221)" } else { "rgb(0, 114, 178)" });
    }
    let narrow = QUESTIONS.split_once("<pre").unwrap().0.replace("WIDTH", "360").replace("2000", "3000");
    fs::write(browser.dir.path().join("narrow.html"), narrow).unwrap();
    browser.picture("modes-wide.png", &["--window-size=1280,1400"], "report.html");
    browser.picture("modes-wide-dark.png", &["--window-size=1280,1400", DARK], "report.html");
    browser.picture("modes-narrow.png", &["--window-size=500,3000"], "narrow.html");
}

#[test]
#[ignore = "needs a browser; cargo xtask test runs it where there is one"]
fn in_a_browser_it_has_pictures_of_itself_on_screen_and_on_paper() {
    let browser = Browser::with_page_of("drill-broken");
    let narrow = QUESTIONS.split_once("<pre").unwrap().0.replace("WIDTH", "360").replace("2000", "5200");
    fs::write(browser.dir.path().join("narrow.html"), narrow).unwrap();
    browser.picture("wide.png", &["--window-size=1280,3400"], "report.html");
    browser.picture("wide-dark.png", &["--window-size=1280,3400", DARK], "report.html");
    browser.picture("narrow.png", &["--window-size=500,5200"], "narrow.html");
    browser.picture("paper.pdf", &["--no-pdf-header-footer"], "report.html");
}
