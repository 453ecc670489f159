//! `-c`: what is accepted, what is refused, in which words, and with which status. And that files written for any Pound
//! since 2.0 load.

use ounce_tests::program;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

const GOOD: &str =
    "ListenHTTP\nAddress 127.0.0.1\nPort 8080\nService\nBackEnd\nAddress 127.0.0.1\nPort 80\nEnd\nEnd\nEnd\n";

fn write(text: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a directory");
    fs::write(folder.path().join("test.cfg"), text).expect("a file");
    folder
}

fn run(program: &Path, folder: &Path, options: &[&str]) -> Output {
    Command::new(program).args(options).arg("-f").arg(folder.join("test.cfg")).output().expect("the program")
}

fn check(text: &str, options: &[&str]) -> (i32, String, String) {
    let folder = write(text);
    let output = run(program::ounce(), folder.path(), &[["-c"].as_slice(), options].concat());
    let place = format!("{}/", folder.path().display());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&place, "");
    (output.status.code().expect("a status"), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_good_file_is_status_0_and_silence() {
    assert_eq!(check(GOOD, &[]), (0, String::new(), String::new()));
    let ok = "ounce: Config file test.cfg is OK\n".to_owned();
    assert_eq!(check(GOOD, &["-v"]), (0, ok.clone(), String::new()));
    assert_eq!(check(GOOD, &["-e"]), (0, ok, String::new()));
}

#[test]
fn every_error_of_a_file_is_reported_at_its_place_with_what_was_meant() {
    let text = "Alive 0\nListenHTTP\n\tAddress 127.0.0.1\n\tPort 99999\n\tServise\n\tEnd\n\txHTTP yes\nEnd\n";
    let (status, stdout, stderr) = check(text, &[]);
    assert_eq!((status, stdout.as_str()), (1, ""));
    let lines: Vec<&str> = stderr.lines().collect();
    let reported = |place: &str, word: &str| {
        lines.iter().any(|line| line.starts_with(&format!("ounce: test.cfg:{place}")) && line.contains(word))
    };
    // A tab counts to the next multiple of eight.
    assert!(reported("1.7", ""), "{stderr}");
    assert!(reported("4.14-18: ", "port"), "{stderr}");
    assert!(reported("5.9-15: ", "Service"), "{stderr}");
    assert!(reported("7.15-17: ", ""), "{stderr}");
    for line in lines {
        assert!(line.starts_with("ounce: test.cfg:"), "no place: {line}");
    }
}

#[test]
fn a_link_speaks_under_its_own_name() {
    let folder = write("Nonsense 1\n");
    let link = folder.path().join("pound");
    symlink(program::ounce(), &link).expect("a link");
    let output = run(&link, folder.path(), &["-c"]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let wanted = format!("pound: {}/test.cfg:1.1-8: ", folder.path().display());
    assert!(stderr.starts_with(&wanted), "{stderr}");
}

#[test]
fn a_file_that_is_not_there_is_status_1() {
    let output =
        Command::new(program::ounce()).args(["-c", "-f", "/nonexistent/x.cfg"]).output().expect("ounce");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/x.cfg"), "{output:?}");
}

#[test]
fn a_bad_file_is_never_served() {
    let folder = write("Nonsense 1\n");
    let output = run(program::ounce(), folder.path(), &["-e"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Nonsense"), "{output:?}");
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    for arguments in [["-x"].as_slice(), &["-c", "more"], &["-f"], &["-Wnonsense"]] {
        let output = Command::new(program::ounce()).args(arguments).output().expect("ounce");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn questions_are_answered_on_standard_output() {
    for (option, part) in [("-h", "Usage: ounce"), ("-V", "ounce"), ("--help-directives", "ListenHTTP")] {
        let output = Command::new(program::ounce()).arg(option).output().expect("ounce");
        assert!(output.status.success(), "{option}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(part), "{option}: {output:?}");
    }
    let output = Command::new(program::ounce()).arg("--help-directives").output().expect("ounce");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for directive in "User Group RootJail Daemon Supervisor LogFacility LogLevel Alive Client TimeOut ConnTO WSTimeOut \
                      Grace Control PIDFile Balancer BackendStats IgnoreCase HeaderOption Include WorkerMinCount \
                      WorkerMaxCount Threads Address Port SocketFrom xHTTP CheckURL ErrorFile Err414 Err503 MaxRequest \
                      MaxURI AddHeader HeaderAdd HeadRemove HeaderRemove RewriteLocation RewriteDestination Service URL \
                      Path Query QueryParam Header HeadRequire HeadDeny Host Method Not Match ACL Disabled BackEnd \
                      Emergency Redirect Error Session Priority Type TTL ID"
        .split_whitespace()
    {
        assert!(text.to_lowercase().contains(&directive.to_lowercase()), "{directive}");
    }
}

/// What people have had in `/etc/pound` for fifteen years: it loads, with warnings at most.
#[test]
fn old_files_load_unchanged() {
    let files = [
        // Debian's file of 2.x.
        "## global options:\nUser\t\t\"root\"\nGroup\t\t\"root\"\n#RootJail\t\"/chroot/pound\"\nLogLevel\t1\nAlive\t\t30\n\
         Control \"/tmp/ounce-never-bound.socket\"\nListenHTTP\n\tAddress 127.0.0.1\n\tPort\t8080\n\txHTTP\t\t0\n\tService\n\
         \t\tBackEnd\n\t\t\tAddress\t127.0.0.1\n\t\t\tPort\t80\n\t\tEnd\n\tEnd\nEnd\n",
        // Virtual hosts by HeadRequire, the usual way before Host.
        "IgnoreCase 1\nTimeOut 60\nClient 30\nDaemon 1\nLogFacility local0\nListenHTTP\nAddress 0.0.0.0\nPort 8080\n\
         Err503 \"{folder}/503.html\"\nMaxRequest 1048576\nHeadRemove \"X-Forwarded-For\"\nAddHeader \"X-Via: pound\"\n\
         RewriteLocation 0\nService \"www\"\nHeadRequire \"Host:.*www.example.org.*\"\nURL \".*\\\\.(jpg|gif)\"\n\
         HeadDeny \"User-Agent:.*EvilBot.*\"\nBackEnd\nAddress 192.0.2.1\nPort 80\nPriority 5\nTimeOut 30\nEnd\n\
         BackEnd\nAddress 192.0.2.2\nPort 80\nPriority 4\nEnd\nEmergency\nAddress 192.0.2.3\nPort 8080\nEnd\n\
         Session\nType COOKIE\nID \"JSESSIONID\"\nTTL 300\nEnd\nEnd\nEnd\n\
         Service\nURL \"/forbidden.*\"\nRedirect 301 \"http://www.example.org/\"\nEnd\n",
        // Words that were dropped on the way, and sizes of thread pools.
        "Threads 64\nWorkerMinCount 5\nWorkerMaxCount 128\nSupervisor 1\nDynScale 0\nListenHTTP\nAddress 127.0.0.1\n\
         Port 8080\nxHTTP 4\nService\nSession\nType IP\nTTL 60\nEnd\nBackEnd\nAddress 127.0.0.1\nPort 80\nEnd\nEnd\nEnd\n",
    ];
    for text in files {
        let folder = tempfile::tempdir().expect("a directory");
        fs::write(folder.path().join("503.html"), "sorry").expect("a file");
        let text = text.replace("{folder}", &folder.path().to_string_lossy());
        let (status, _, stderr) = check(&text, &[]);
        assert_eq!(status, 0, "{text}\n{stderr}");
        assert!(stderr.lines().all(|line| line.contains("warning")), "{stderr}");
    }
}

#[test]
fn deprecated_spellings_are_warned_about_unless_that_is_not_wanted() {
    let text = GOOD.replace("Service\n", "HeadRemove \"X\"\nService\nHeadRequire \"Host: a\"\n");
    let (status, _, stderr) = check(&text, &[]);
    assert_eq!(status, 0);
    assert!(stderr.contains("HeadRemove") && stderr.contains("HeadRequire"), "{stderr}");
    assert_eq!(check(&text, &["-Wno-warn-deprecated"]), (0, String::new(), String::new()));
}

#[test]
fn what_only_the_whole_shows_is_an_error_too() {
    for (change, why) in [
        ("Workers 0\n", "Workers"),
        ("User \"nobody-has-this-name\"\n", "nobody-has-this-name"),
        ("RootJail \"/nonexistent\"\n", "RootJail"),
        ("Include \"/nonexistent/x.cfg\"\n", "/nonexistent/x.cfg"),
    ] {
        let (status, _, stderr) = check(&format!("{change}{GOOD}"), &[]);
        assert_eq!(status, 1, "{change}");
        assert!(stderr.contains(why), "{change}: {stderr}");
    }
    let bad_pattern = GOOD.replace("Service\n", "Service\nURL \"(\"\n");
    assert_eq!(check(&bad_pattern, &[]).0, 1);
    let no_ttl = GOOD.replace("Service\n", "Service\nSession\nType IP\nEnd\n");
    assert_eq!(check(&no_ttl, &[]).0, 1);
}
