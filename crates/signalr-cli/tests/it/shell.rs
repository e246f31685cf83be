//! `signalr connect`.

use std::time::Duration;

use crate::common::hub::{closed_port, serve};
use crate::common::process::Running;
use crate::common::{Run, program, run, run_with};

/// The output of a session with these commands, without the ids of connections and what the server calls.
fn session(path: &str, options: &[&str], commands: &str) -> (Run, Vec<String>) {
    let (run, mut lines) = session_with_calls(path, options, commands);
    lines.retain(|line| {
        !["Welcome", "Other()", "invocation"]
            .iter()
            .any(|call| line.contains(call))
    });
    (run, lines)
}

fn session_with_calls(path: &str, options: &[&str], commands: &str) -> (Run, Vec<String>) {
    let (base, _hub) = serve();
    let url = format!("{base}{path}");
    let run = run_with(
        &[&["connect", &url][..], options].concat(),
        commands.as_bytes(),
    );
    let cut = |line: &str| {
        line.split_once("\"connectionId\":\"")
            .map_or_else(|| line.to_owned(), |(head, _)| format!("{head}…"))
    };
    let lines = run.lines().into_iter().map(cut).collect();
    (run, lines)
}

#[test]
fn commands_from_a_pipe_run_one_after_the_other() {
    for protocol in ["json", "messagepack"] {
        let (run, lines) = session(
            "/open",
            &["--protocol", protocol],
            "invoke Add 1 -2\n\n# a comment\r\nsend Echo 1\r\nstream Count 3\ninvoke Echo {\"a\": [1, 2]}\ninvoke Echo 'two words'",
        );
        assert_eq!(
            lines,
            ["-1", "0", "1", "2", "{\"a\":[1,2]}", "\"two words\""],
            "{}",
            run.err
        );
        assert_eq!(run.code, 0);
        assert!(run.err.contains("3 items"), "{}", run.err);
    }
}

#[test]
fn json_output_has_an_event_for_everything() {
    let commands = "state\ninvoke Add 1 2\nstream Count 2\nnonsense\ninvoke Fail\nstop\ninvoke Add 1 2\nstart\nquit\ninvoke Add 1 2\n";
    let (run, lines) = session("/open", &["--output", "json"], commands);
    let expected = [
        "{\"event\":\"connected\",…",
        "{\"event\":\"state\",\"state\":\"connected\",…",
        "{\"event\":\"result\",\"result\":3}",
        "{\"event\":\"item\",\"item\":0}",
        "{\"event\":\"item\",\"item\":1}",
        "{\"event\":\"streamEnded\",\"items\":2}",
        "{\"event\":\"error\",\"message\":\"command 4: there is no command 'nonsense': to call a method of the hub, type invoke nonsense …; help lists the commands\"}",
        "{\"event\":\"error\",\"message\":\"command 5: An unexpected error occurred invoking 'Fail' on the server. HubException: no such luck\"}",
        "{\"event\":\"closed\"}",
        "{\"event\":\"error\",\"message\":\"command 7: the connection is not active; start makes a new one\"}",
        "{\"event\":\"connected\",…",
        "{\"event\":\"error\",\"message\":\"3 of 8 commands failed\"}",
        "{\"event\":\"closed\"}",
    ];
    assert_eq!(lines, expected);
    assert_eq!(
        (run.code, run.err.as_str()),
        (1, "signalr: 3 of 8 commands failed\n")
    );
}

#[test]
fn what_the_server_calls_is_printed_as_far_as_it_is_wanted() {
    let (run, lines) = session_with_calls("/open", &[], "wait 0.3\n");
    assert_eq!(
        lines,
        [
            "Welcome(0,\"hello\")",
            "Welcome(1,\"hello\")",
            "Welcome(2,\"hello\")",
            "Other()"
        ],
        "{}",
        run.err
    );
    let (_, lines) = session_with_calls(
        "/open",
        &[],
        "wait 0.3\non Other\nstop\nstart\nwait 0.3\nquit",
    );
    assert_eq!(lines[4..], ["Other()"]);
    let (_, lines) = session_with_calls("/open", &[], "wait 0.3\noff\nstop\nstart\nwait 0.3\nquit");
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_lost_connection_is_a_failure_and_can_be_made_anew() {
    let (run, lines) = session(
        "/open",
        &[],
        "invoke Abort\ninvoke Add 1 2\nstart\ninvoke Add 1 2\n",
    );
    assert_eq!(lines, ["3"], "{}", run.err);
    assert_eq!(run.code, 1);
    for words in [
        "the connection was lost",
        "start makes a new one",
        "commands failed",
    ] {
        assert!(run.err.contains(words), "{}", run.err);
    }
}

#[test]
fn a_lost_connection_is_not_counted_as_a_command() {
    let (run, _) = session("/unwelcoming", &[], "wait 0.3\nstate\n");
    assert_eq!(run.code, 1);
    let last = run.err.lines().last().unwrap();
    let why = last.strip_prefix("signalr: the connection was lost: ");
    assert!(
        why.is_some_and(|why| run.err.contains(&format!("connection lost: {why}\n"))),
        "{}",
        run.err
    );
    let (run, _) = session("/unwelcoming", &["--output", "json"], "wait 0.3\nstate\n");
    assert_eq!(run.err, format!("{last}\n"));
    let (run, _) = session("/unwelcoming", &[], "wait 0.3\nstate\ninvoke Add 1 2\n");
    assert!(run.err.contains("1 of 3 commands failed"), "{}", run.err);
}

#[test]
fn commands_and_connecting_are_bounded_by_the_timeout() {
    let (run, lines) = session(
        "/open",
        &["--timeout", "1"],
        "invoke Add 1 2\ninvoke Stall\n",
    );
    assert_eq!(
        (run.code, &lines[..]),
        (1, &["3".to_owned(), "Stalling()".to_owned()][..])
    );
    assert!(
        run.err
            .contains("command 2: timed out: no answer within 1 second"),
        "{}",
        run.err
    );
    let nobody = run_with(&["connect", &closed_port()], b"invoke Add 1 2\n");
    assert_eq!(nobody.code, 1);
    assert!(
        nobody.err.contains("is the server running"),
        "{}",
        nobody.err
    );
    assert_eq!(run_nothing(&["connect", "nonsense"]), 2);
}

#[test]
#[should_panic(expected = "did not end in time")]
fn a_program_that_does_not_end_fails_its_test() {
    let (base, _hub) = serve();
    let mut listening = program(&["listen", &format!("{base}/open")]);
    let running = Running::try_start(&mut listening, Duration::from_millis(300)).unwrap();
    running.end();
}

fn run_nothing(arguments: &[&str]) -> i32 {
    run(arguments).code
}

#[test]
fn mistakes_in_arguments_name_the_argument() {
    let (run, _) = session(
        "/open",
        &[],
        "invoke Echo {\"a\":}\ninvoke Echo -\ninvoke\nwait x\ninvoke Echo 'a\n",
    );
    assert_eq!(run.code, 1);
    for words in [
        "command 1: argument 1 looks like JSON but is not",
        "command 2: the standard input holds the commands",
        "command 3: invoke needs the name of a method",
        "command 4: wait needs a number of seconds",
        "command 5: a quotation mark ' is not closed",
        "5 of 5 commands failed",
    ] {
        assert!(run.err.contains(words), "{words}: {}", run.err);
    }
}

/// With a terminal, which the program `script` makes.
#[cfg(target_os = "linux")]
mod terminal {
    use std::io::{BufReader, Read, Write};
    use std::process::{ChildStdout, Command, Stdio};
    use std::time::Duration;

    use crate::common::hub::serve;
    use crate::common::process::Running;

    struct Terminal {
        program: Running,
        screen: BufReader<ChildStdout>,
        seen: Vec<u8>,
    }

    impl Terminal {
        fn start(command: &str, state: &std::path::Path) -> Option<Self> {
            let mut script = Command::new("script");
            script
                .args(["-qec", command, "/dev/null"])
                .env("XDG_STATE_HOME", state)
                .env("TERM", "xterm")
                .env_remove("NO_COLOR")
                .stdin(Stdio::piped());
            let Ok(mut program) = Running::try_start(&mut script, Duration::from_secs(60)) else {
                let _ = writeln!(std::io::stderr(), "skipped: there is no program script");
                return None;
            };
            Some(Self {
                screen: program.take_stdout(),
                program,
                seen: Vec::new(),
            })
        }

        fn press(&mut self, keys: &str) {
            self.program.write(keys.as_bytes());
        }

        /// Reads until this was printed, and forgets what came before it.
        fn wait_for(&mut self, text: &str) {
            let mut chunk = [0; 4096];
            loop {
                let shown = String::from_utf8_lossy(&self.seen).into_owned();
                if let Some(at) = shown.find(text) {
                    self.seen = shown.as_bytes()[at + text.len()..].to_vec();
                    return;
                }
                let length = self.screen.read(&mut chunk).unwrap_or(0);
                assert!(length > 0, "'{text}' did not come; but {shown:?}");
                self.seen.extend_from_slice(&chunk[..length]);
            }
        }

        fn exit_code(mut self) -> i32 {
            // The end of a terminal is an error.
            let _ = self.screen.read_to_end(&mut self.seen);
            self.program.end().code
        }
    }

    #[test]
    fn a_terminal_has_a_prompt_with_completion_history_and_cancelling() {
        let (base, _hub) = serve();
        let state = std::env::temp_dir().join(format!("signalr-cli-state-{}", std::process::id()));
        let command = format!(
            "{} connect {base}/open --token canary",
            env!("CARGO_BIN_EXE_signalr")
        );
        let Some(mut terminal) = Terminal::start(&command, &state) else {
            return;
        };
        terminal.wait_for("Other");
        terminal.wait_for("> ");
        terminal.press("inv\tAdd 20 22\r");
        terminal.wait_for("\u{1b}[K42");
        terminal.press("invoke A\t1 2\r");
        terminal.wait_for("\u{1b}[K3");
        terminal.press("\u{1b}[A\u{1b}[A\r");
        terminal.wait_for("\u{1b}[K42");
        terminal.press("invoke Echo canary\r");
        terminal.wait_for("\u{1b}[K\"canary\"");
        terminal.press("invoke Fail\r");
        terminal.wait_for("no such luck");
        terminal.press("stream Forever\r");
        terminal.wait_for("\u{1b}[K2");
        terminal.press("\u{3}");
        terminal.wait_for("cancelled");
        // Keys that are pressed while the program changes between line and command are the terminal's, not the program's.
        terminal.press("invoke Stall\r");
        terminal.wait_for("Stalling");
        terminal.press("\u{3}");
        terminal.wait_for("cancelled");
        terminal.wait_for("> ");
        terminal.press("\u{4}");
        assert_eq!(terminal.exit_code(), 0);

        let history = std::fs::read_to_string(state.join("signalr/history")).unwrap();
        assert!(
            history.contains("invoke Add 20 22") && !history.contains("canary"),
            "{history}"
        );

        // The next session completes what was called in this one.
        let Some(mut terminal) = Terminal::start(&command, &state) else {
            return;
        };
        terminal.wait_for("> ");
        terminal.press("invoke Ad\t2 2\r");
        terminal.wait_for("\u{1b}[K4");
        // A second Ctrl-C leaves, but not in the middle of a line.
        for line in ["half a li", "another"] {
            terminal.wait_for("> ");
            terminal.press(&format!("{line}\u{3}"));
            terminal.wait_for("or Ctrl-D leaves");
        }
        terminal.wait_for("> ");
        terminal.press("\u{3}");
        assert_eq!(terminal.exit_code(), 0);
        std::fs::remove_dir_all(&state).unwrap();
    }
}

#[test]
fn a_byte_order_mark_before_the_first_command_is_passed_over() {
    let (run, lines) = session("/open", &[], "\u{feff}invoke Add 1 2\n");
    assert_eq!((run.code, lines), (0, vec!["3".to_owned()]), "{}", run.err);
}

#[test]
fn whoever_types_a_method_is_told_to_invoke_it() {
    let (run, _) = session("/open", &[], "Add 1 2\n");
    assert_eq!(run.code, 1);
    assert!(run.err.contains("type invoke Add …"), "{}", run.err);
}

#[test]
fn the_help_of_a_session_fits_a_usual_terminal() {
    let (_, lines) = session("/open", &[], "help\n");
    assert!(lines.len() > 10, "{lines:?}");
    for line in lines {
        assert!(line.chars().count() <= 80, "{line}");
    }
}
