//! A page of what runs make.

use crate::fixture::Sandbox;

#[test]
fn a_page_shows_the_images_and_numbers_of_runs() {
    let sandbox = Sandbox::trained();
    sandbox.interfuse(&["evaluate", "run", "--count", "8"]).succeeded();
    let gallery = |args: &[&str]| sandbox.interfuse(&[&["gallery"], args].concat());
    gallery(&["run", "--out", "all.md"]).succeeded().said(&["1 runs: all.md"]);
    let page = String::from_utf8(sandbox.bytes("all.md")).expect("text");
    for expected in ["## run", "![run](all/run.png)", "red", "6 steps", "the nearest image is the prompted one"] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    let (width, _) = sandbox.image_size("all/run.png");
    assert!(width > 300, "small images are enlarged, found {width}");

    gallery(&["run", "--out", "all.md"]).refused(&["all.md exists", "--force"]);
    gallery(&["run", "--out", "all.md", "--force"]).succeeded();
    gallery(&["run", "run", "--out", "twice.md"]).refused(&["run: expected runs with names of their own"]);
    gallery(&["images", "--out", "none.md"]).refused(&["images"]);
    gallery(&["run", "--out", "page.html"]).refused(&["--out", ".md", "page.html"]);
    assert!(!sandbox.path("twice.md").exists() && !sandbox.path("none.md").exists());
}
