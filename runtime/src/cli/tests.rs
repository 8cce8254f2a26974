//! What `--help` says, and how wrong usage ends.

use clap::CommandFactory as _;
use insta::assert_snapshot;

use super::*;

fn help(path: &[&str]) -> String {
    let mut command = Cli::command().term_width(100);
    command.build();
    let command = path
        .iter()
        .fold(&mut command, |command, name| command.find_subcommand_mut(name).expect("a command of this name"));
    command.render_help().to_string()
}

#[test]
fn the_definition_of_the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_lists_what_works() {
    assert_snapshot!(help(&[]), @r#"
    A notification runtime: durable queue, delivery at least once, channels as sandboxed plugins

    Usage: campanile [OPTIONS] <COMMAND>

    Commands:
      serve        Run the server
      demo         Show the whole story on this machine, on loopback and in a folder of its own
      send         Send a notification
      status       Show a notification: deliveries and attempts
      plugins      Look at plugins
      config       Look at the configuration
      backup       Copy the database into a file, also while a server runs
      restore      Put a backup in the place of the database
      migrate      Bring the database up to the version of this program
      doctor       Explain what is wrong with this installation
      bench        Measure this machine
      completions  Print completions for a shell
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Global options:
          --config <FILE>  Configuration file [default: the first that exists of ./campanile.toml,
                           $XDG_CONFIG_HOME/campanile/config.toml, /etc/campanile/config.toml]
          --url <URL>      Server to talk to [default: where the configuration listens] [env:
                           CAMPANILE_URL]
          --json           Print JSON
      -v, --verbose...     Log more to standard error; may be repeated
      -q, --quiet...       Log less; may be repeated
          --color <WHEN>   Colors in the output [default: auto] [possible values: auto, always, never]
    "#);
}

#[test]
fn help_of_send_names_every_option() {
    assert_snapshot!(help(&["send"]), @r#"
    Send a notification

    Usage: campanile send [OPTIONS] --channel <CHANNEL>

    Options:
      -c, --channel <CHANNEL>      Channel to send through; may be repeated
      -t, --to <ADDRESS>           Recipient; may be repeated
          --title <TITLE>          A line above the text
      -b, --body <TEXT>            The text [default: standard input]
          --html <HTML>            The text as an HTML fragment, for channels that can show it
          --template <NAME>        Template that writes the content
      -d, --data <KEY=VALUE>       A text for the template; may be repeated, and goes over --data-file
          --data-file <FILE>       A JSON object for the template
          --priority <PRIORITY>    low, normal, high or critical [default: the channel's, else normal]
          --kind <KIND>            info, success, warning, error or a word of your own [default: info]
          --at <TIME>              Not before this: RFC 3339, `10m`, `17:30`, `tomorrow 9am`, in the
                                   time zone of this machine
          --expires <TIME>         Do not send it at or after this; written as --at, and `10m` counts
                                   from now
          --idempotency-key <KEY>  Accept this once: the same key within 24 h gives the first answer
                                   again
          --dedupe-key <KEY>       Make no second delivery of the same key, channel and recipient within
                                   a few minutes
          --metadata <KEY=VALUE>   A pair of your own, to find it by; may be repeated
          --wait [<DURATION>]      Wait for the outcome, at most this long
      -h, --help                   Print help (see more with '--help')

    Global options:
          --config <FILE>  Configuration file [default: the first that exists of ./campanile.toml,
                           $XDG_CONFIG_HOME/campanile/config.toml, /etc/campanile/config.toml]
          --url <URL>      Server to talk to [default: where the configuration listens] [env:
                           CAMPANILE_URL]
          --json           Print JSON
      -v, --verbose...     Log more to standard error; may be repeated
      -q, --quiet...       Log less; may be repeated
          --color <WHEN>   Colors in the output [default: auto] [possible values: auto, always, never]

    Exit codes: 0 accepted, or with --wait sent; 1 a delivery failed, or no server
    answers; 2 refused; 4 no outcome in time.

    Examples:
      campanile send -c console -b 'Backup done'
      df -h | campanile send -c ops --title 'Disks' --priority high --wait
      campanile send -c mail -t ada@example.com --template welcome -d name=Ada
    "#);
}

/// Without the global options, which are the same everywhere.
fn own_help(name: &str) -> String {
    let help = help(&[name]);
    let (own, rest) = help.split_once("Global options:").expect("every command has them");
    format!("{own}…\n\n{}", rest.split_once("\n\n").map_or("", |(_, after)| after))
}

#[test]
fn help_of_what_is_done_with_the_database_says_what_becomes_of_the_files() {
    assert_snapshot!(own_help("backup"), @r#"
    Copy the database into a file, also while a server runs

    Usage: campanile backup [OPTIONS] <FILE>

    Arguments:
      <FILE>  Where to write the copy

    Options:
          --force  Replace FILE if it is there
      -h, --help   Print help

    …

    The copy is the state of one instant; it is checked before it gets its name, and nobody else can
    read it. Plugins, templates and the configuration are files of their own: copy them too.
    "#);
    assert_snapshot!(own_help("restore"), @r#"
    Put a backup in the place of the database

    Usage: campanile restore [OPTIONS] <FILE>

    Arguments:
      <FILE>  What `campanile backup` has written

    Options:
          --yes   Replace the database that is there
      -h, --help  Print help

    …

    The server has to be stopped. The database that is there is kept beside the new one, as
    `campanile.db.before-restore-TIME`. What was delivered after the backup is delivered again.
    "#);
    assert_snapshot!(own_help("migrate"), @r#"
    Bring the database up to the version of this program

    Usage: campanile migrate [OPTIONS]

    Options:
          --check      Only say whether a migration is due
          --no-backup  Keep no copy of the file before
      -h, --help       Print help

    …

    A server migrates when it starts. This does the same before, with the server stopped: the file as
    it was stays beside it as `campanile.db.vVERSION`.

    Exit codes: 0 up to date; 1 with --check, a migration is due.
    "#);
    assert_snapshot!(own_help("doctor"), @r#"
    Explain what is wrong with this installation

    Usage: campanile doctor [OPTIONS]

    Options:
      -h, --help  Print help

    …

    Changes nothing. Reads the whole database, and compiles the files in the plugin folder.

    Exit codes: 0 it works, perhaps with warnings; 1 something is to be put right.
    "#);
}

#[test]
fn wrong_usage_ends_with_two_and_help_with_zero() {
    let code = |arguments: &[&str]| Cli::try_parse_from(arguments).err().map(|error| error.use_stderr());
    assert_eq!(code(&["campanile", "send"]), Some(true));
    assert_eq!(code(&["campanile", "send", "-c", "x", "--priority", "urgent"]), Some(true));
    assert_eq!(code(&["campanile", "send", "-c", "x", "-d", "novalue"]), Some(true));
    assert_eq!(code(&["campanile", "status", "../x"]), Some(true));
    assert_eq!(code(&["campanile", "--help"]), Some(false));
    assert_eq!(code(&["campanile", "--version"]), Some(false));
}
