//! Today's words: the configuration that [`ounce_conf::upgrade`] prints says the same and warns of nothing old.

use ounce_conf::{Options, load_text, upgrade, upgrade_text};
use std::fs;
use std::path::PathBuf;

fn options() -> Options {
    Options {
        include_dir: Some(PathBuf::from("tests/golden/files")),
        resolve_dns: false,
        ..Options::default()
    }
}

/// The inputs of all goldens.
fn inputs() -> Vec<(String, String)> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir("tests/golden").expect("the goldens") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "conf") {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let text = fs::read_to_string(&path).expect("a golden");
            let cases = text.split("==========\n").filter_map(|case| case.split("----------\n").next());
            inputs.extend(cases.map(|case| (name.clone(), case.to_owned())));
        }
    }
    inputs
}

/// Each golden that loads, in today's words, lowers to the same model, places of its sections included.
#[test]
fn every_golden_says_the_same_in_today_s_words() {
    let options = options();
    let mut changed = 0;
    for (name, text) in inputs() {
        let Ok(before) = load_text(&name, &text, &options) else { continue };
        let new = upgrade_text(&name, &text, &options).expect("what loads is understood").text;
        let after =
            load_text(&name, &new, &options).unwrap_or_else(|found| panic!("{name}: {found:#?}\n{new}"));
        assert_eq!(format!("{:?}", before.config), format!("{:?}", after.config), "{name}:\n{new}");
        let old = |text: &str| text.contains("out of date") || text.contains("has no effect");
        let left: Vec<&str> =
            after.warnings.iter().map(|warning| warning.text.as_str()).filter(|t| old(t)).collect();
        // What is said of values, not of words, stays true.
        let of_values = ["setting ", "without Resolve"];
        let left: Vec<&&str> = left
            .iter()
            .filter(|text| !of_values.iter().any(|part| text.contains(part)) && !text.starts_with("ID "))
            .collect();
        assert!(left.is_empty(), "{name}: {left:?}\n{new}");
        assert_eq!(text.lines().count(), new.lines().count(), "{name}: lines keep their numbers");
        assert_eq!(
            upgrade_text(&name, &new, &options).expect("the new text").text,
            new,
            "{name}: once is enough"
        );
        changed += usize::from(new != text);
    }
    assert!(changed > 10, "only {changed} goldens hold old words");
}

#[test]
fn comments_and_layout_stay() {
    let old = r#"# Kept since 2.4 (do not touch!)
User	"www"	# not root
Threads	64		# plenty
IgnoreCase 1
ListenHTTP
	Address 10.0.0.1 Port 80
End
"#;
    assert!(upgrade_text("old.cfg", old, &options()).is_err(), "two directives on a line are none");
    let old = r#"# Kept since 2.4 (do not touch!)
User	"www"	# not root
Threads	64		# plenty
IgnoreCase 1
ListenHTTP

	Address	10.0.0.1
	CheckURL "^/[a-z]*$"
	Err503	"sorry.html"   # the page
	HeadRemove	"X-Forwarded-For"
	headremove -case "X-Real-IP"
	AddHeader "Front-End-Https: on"
	Service
	    HeadRequire "Host:.*example.*"
	    Not HeadDeny "Cookie: x"
	    URL "/img/.*"; URL "x"
	End
End
"#
    .replace("; URL \"x\"", "");
    let new = r#"# Kept since 2.4 (do not touch!)
User	"www"	# not root
# Threads	64		# plenty
# IgnoreCase 1
ListenHTTP

	Address	10.0.0.1
	CheckURL -icase "^/[a-z]*$"
	ErrorFile 503	"sorry.html"   # the page
	DeleteHeader -icase	"X-Forwarded-For"
	DeleteHeader -icase "X-Real-IP"
	SetHeader "Front-End-Https: on"
	Service
	    Header "Host:.*example.*"
	    Not Not Header "Cookie: x"
	    URL -icase "/img/.*"
	End
End
"#;
    assert_eq!(upgrade_text("old.cfg", &old, &options()).expect("an old file").text, new);
}

/// `IgnoreCase` of the main file reaches into files it includes, which then change too.
#[test]
fn included_files_are_told_apart() {
    let folder = std::env::temp_dir().join(format!("ounce-upgrade-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
    write("main.cfg", "IgnoreCase on\nInclude \"sites.inc\"\nInclude \"plain.inc\"\n");
    write("sites.inc", "Service\n\tPath \"^/a\" # one\n\tSuccess\nEnd\n");
    write("plain.inc", "Service\n\tSuccess\nEnd\n");
    let plain = Options::default();
    let found = upgrade(&folder.join("main.cfg"), &plain).expect("a file with two others");
    assert_eq!(found.text, "# IgnoreCase on\nInclude \"sites.inc\"\nInclude \"plain.inc\"\n");
    let sites = folder.join("sites.inc").display().to_string();
    assert_eq!(
        found.included,
        [(sites, "Service\n\tPath -icase \"^/a\" # one\n\tSuccess\nEnd\n".to_owned())]
    );

    write("main.cfg", "IgnoreCase on\nInclude \"sites.inc\"\nIgnoreCase off\nInclude \"sites.inc\"\n");
    let refused = upgrade(&folder.join("main.cfg"), &plain).expect_err("two meanings of one file");
    assert_eq!(refused.len(), 1);
    assert!(refused[0].text.ends_with("sites.inc is included with IgnoreCase and without"), "{refused:?}");
    fs::remove_dir_all(&folder).expect("the folder");
}
