//! Help, completions and man pages.

use crate::common::run;

const COMMANDS: [&str; 12] = [
    "demo",
    "doctor",
    "negotiate",
    "invoke",
    "send",
    "stream",
    "listen",
    "connect",
    "decode",
    "encode",
    "completions",
    "man",
];

#[test]
fn help_documents_the_exit_codes_and_each_command_has_an_example() {
    let help = run(&["--help"]).ok_text();
    for code in ["0 ", "1 ", "2 ", "130"] {
        assert!(help.contains(&format!("  {code}")), "{code}");
    }
    for command in COMMANDS {
        assert!(help.contains(command), "{command}");
        let help = run(&[command, "--help"]).ok_text();
        assert!(
            help.contains("Example") && help.contains(&format!("signalr {command}")),
            "{command}: {help}"
        );
    }
}

#[test]
fn mistakes_on_the_command_line_exit_with_2() {
    for arguments in [
        &[][..],
        &["nonsense"],
        &["decode"],
        &["decode", "--protocol", "xml"],
        &["invoke", "http://localhost:1/"],
        &["invoke", "localhost:1", "Method"],
        &["invoke", "http://localhost:1/", "Method", "{broken"],
        &["invoke", "http://localhost:1/", "Method", "--timeout", "0"],
        &[
            "invoke",
            "http://localhost:1/",
            "Method",
            "--header",
            "nonsense",
        ],
        &[
            "invoke",
            "http://localhost:1/",
            "Method",
            "--header",
            "a b: c",
        ],
        &[
            "invoke",
            "http://localhost:1/",
            "Method",
            "--token-file",
            "/no/such/file",
        ],
        &["negotiate", "nonsense"],
        &["listen", "http://localhost:1/", "--count", "0"],
        &["man", "nonsense"],
        &["completions", "nonsense"],
    ] {
        let run = run(arguments);
        assert_eq!((run.code, run.text()), (2, ""), "{arguments:?}");
        assert!(!run.err.is_empty());
    }
}

#[test]
fn secrets_on_the_command_line_are_not_repeated() {
    let run = run(&[
        "invoke",
        "http://localhost:1/",
        "Method",
        "--token",
        "canary\n",
        "--header",
        "canary",
        "--header",
        "canary: \u{7f}canary",
    ]);
    assert_eq!(run.code, 2);
    assert!(!run.err.contains("canary"), "{}", run.err);
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completions", shell]).ok_text();
        assert!(
            COMMANDS.iter().all(|command| script.contains(command)),
            "{shell}"
        );
    }
}

#[test]
fn the_program_and_each_command_have_a_man_page() {
    assert!(run(&["man"]).ok_text().contains(".TH signalr 1"));
    for command in COMMANDS {
        assert!(
            run(&["man", command])
                .ok_text()
                .contains(&format!(".TH signalr-{command} 1")),
            "{command}"
        );
    }
}
