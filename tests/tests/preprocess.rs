//! `-W preprocess` and `-E`: a command makes the configuration; `--upgrade-config`: the configuration in today's words.

use nix::sys::signal::Signal;
use ounce_tests::origin::Origin;
use ounce_tests::program;
use ounce_tests::proxy::Setup;
use std::fs;
use std::process::{Command, Output};

fn ounce(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(program::ounce()).args(arguments).output().expect("the program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (status.code().expect("a status"), text(&stdout), text(&stderr))
}

#[test]
fn what_the_command_makes_is_printed_and_checked() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("a.cfg");
    fs::write(&path, "ListenHTTP\nPort WEB\nService\nSuccess\nEnd\nEnd\n").expect("a file");
    let file = path.to_string_lossy().into_owned();
    let (status, text, said) = ounce(&["-E", "-Wpreprocess=sed s/WEB/8080/", "-f", &file]);
    assert_eq!((status, said.as_str()), (0, ""));
    assert_eq!(text, "ListenHTTP\nPort 8080\nService\nSuccess\nEnd\nEnd\n");
    assert_eq!(
        ounce(&["-c", "-Wpreprocess=sed s/WEB/8080/", "-f", &file]),
        (0, String::new(), String::new())
    );
    // Without a command the file is printed as it is.
    assert_eq!(ounce(&["-E", "-f", &file]).1, fs::read_to_string(&path).expect("the file"));

    // Places are those of what is printed, which is what is read.
    let (status, _, said) = ounce(&["-c", "-Wpreprocess=sed s/WEB/nothing\\ /", "-f", &file]);
    assert_eq!(status, 1);
    assert!(said.starts_with(&format!("ounce: {file}:2.6-12: ")) || said.contains("Port"), "{said}");

    let (status, text, said) = ounce(&["-E", "-W", "preprocess=echo no macro >&2; exit 4", "-f", &file]);
    assert_eq!((status, text.as_str()), (1, ""));
    assert!(said.contains("ounce: preprocess: no macro"), "{said}");
    assert!(said.contains(&format!("{file} is not preprocessed: it ended with exit status: 4")), "{said}");
}

/// The command runs again for a reload, before anything changes; when it fails, nothing does.
#[test]
fn a_reload_runs_the_command_again() {
    let origins = [Origin::named("first"), Origin::named("second")];
    let setup = Setup::new().listener("Service\nBackEnd\nAddress @HOST@\nPort @PORT@\nEnd\nEnd");
    let rules = setup.folder().join("rules.sed");
    let point_at = |origin: &Origin| {
        let address = origin.address();
        let text = format!("s/@HOST@/{}/\ns/@PORT@/{}/\n", address.ip(), address.port());
        fs::write(&rules, text).expect("a file");
    };
    point_at(&origins[0]);
    let command = format!("preprocess=sed -f {}", rules.display());
    let mut proxy = setup.arguments(&["-e", "-v", "-W", &command]).start();
    assert_eq!(proxy.client().get("/").text(), "first");
    point_at(&origins[1]);
    proxy.reload().expect("a reload");
    assert_eq!(proxy.client().get("/").text(), "second");
    fs::write(&rules, "no command of sed").expect("a file");
    let said = proxy.reload().expect_err("a command that fails");
    assert!(
        said.iter().any(|line| line.contains("is not preprocessed: it ended with exit status: 1")),
        "{said:?}"
    );
    assert_eq!(proxy.client().get("/").text(), "second");
    assert!(proxy.end(Signal::SIGINT).success());
}

#[test]
fn an_old_file_is_printed_in_today_s_words() {
    let folder = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    write(
        "old.cfg",
        "# mine\nListenHTTP\n\tPort 8080\n\tHeadRemove \"X\" # out\n\tInclude \"old.inc\"\nEnd\n",
    );
    write("old.inc", "Service\n\tHeadRequire \"Host: a\"\n\tSuccess\nEnd\n");
    let (status, text, said) = ounce(&["--upgrade-config", &path("old.cfg")]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(
        text,
        "# mine\nListenHTTP\n\tPort 8080\n\tDeleteHeader -icase \"X\" # out\n\tInclude \"old.inc\"\nEnd\n"
    );
    let hint = format!("ounce --upgrade-config {} {}", path("old.cfg"), path("old.inc"));
    assert!(said.contains(&hint), "{said}");
    let (status, included, said) = ounce(&["--upgrade-config", &path("old.cfg"), &path("old.inc")]);
    assert_eq!((status, said.as_str()), (0, ""));
    assert_eq!(included, "Service\n\tHeader \"Host: a\"\n\tSuccess\nEnd\n");

    write("old.cfg", &text);
    write("old.inc", &included);
    assert_eq!(ounce(&["-c", "-f", &path("old.cfg")]), (0, String::new(), String::new()));

    write("old.cfg", "ListenHTTP\n\tPrt 8080\nEnd\n");
    let (status, text, said) = ounce(&["--upgrade-config", &path("old.cfg")]);
    assert_eq!((status, text.as_str()), (1, ""));
    assert!(said.contains("old.cfg:2.9-11: unknown directive Prt"), "{said}");
}
