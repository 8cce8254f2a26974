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

/// The same without the options that every command has.
fn own_help(path: &[&str]) -> String {
    let help = help(path);
    let (own, rest) = help.split_once("\nGlobal options:\n").expect("global options");
    // What comes after them has a blank line before it.
    let after = rest.split_once("\n\n").map(|(_, after)| format!("\n{after}")).unwrap_or_default();
    format!("{}\n{after}", own.trim_end())
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
      serve         Run the server
      demo          Show the whole story on this machine, on loopback and in a folder of its own
      send          Send a notification
      status        Show a notification: deliveries and attempts
      list          List notifications, the newest first
      cancel        Cancel what has not left of a notification, or one delivery
      replay        Try again what failed for good
      dead-letters  Look at what failed for good
      audit         Show who did what, the newest first
      events        Show what happened, or follow what happens
      channels      Look at channels, pause them, try them out
      callbacks     Look at callbacks, and at their calls that were given up
      plugins       Look at plugins
      workers       Show the pool of workers, or set its size
      stats         Show totals: deliveries, queue, workers, callbacks, events, database
      top           Watch lanes, channels, workers and plugins of a running server
      config        Look at the configuration
      reload        Have a running server read its configuration again
      backup        Copy the database into a file, also while a server runs
      restore       Put a backup in the place of the database
      migrate       Bring the database up to the version of this program
      doctor        Explain what is wrong with this installation
      bench         Measure this machine
      completions   Print completions for a shell
      help          Print this message or the help of the given subcommand(s)

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
    assert_snapshot!(help(&["send"]), @r"
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
          --correlation-id <ID>    An id of your own, such as that of an order: `campanile list
                                   --correlation-id` finds it
          --callback-url <URL>     Where what happens to it is told, by signed requests: an https URL
          --metadata <KEY=VALUE>   A pair of your own: `campanile list --metadata` finds it; may be
                                   repeated
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
    ");
}

/// Without the global options, which are the same everywhere.
fn help_between(path: &[&str]) -> String {
    let help = help(path);
    let (own, rest) = help.split_once("Global options:").expect("every command has them");
    format!("{own}…\n\n{}", rest.split_once("\n\n").map_or("", |(_, after)| after))
}

#[test]
fn help_of_what_is_done_with_the_database_says_what_becomes_of_the_files() {
    assert_snapshot!(help_between(&["backup"]), @r#"
    Copy the database into a file, also while a server runs

    Usage: campanile backup [OPTIONS] <FILE>

    Arguments:
      <FILE>  Where to write the copy

    Options:
          --force  Replace FILE if it is there
      -h, --help   Print help (see more with '--help')

    …

    The copy is the state of one instant; it is checked before it gets its name, and nobody else can
    read it. Plugins, templates and the configuration are files of their own: copy them too.
    "#);
    assert_snapshot!(help_between(&["restore"]), @r#"
    Put a backup in the place of the database

    Usage: campanile restore [OPTIONS] <FILE>

    Arguments:
      <FILE>  What `campanile backup` has written

    Options:
          --yes   Replace the database that is there
      -h, --help  Print help (see more with '--help')

    …

    The server has to be stopped. The database that is there is kept beside the new one, as
    `campanile.db.before-restore-TIME`. What was delivered after the backup is delivered again.
    "#);
    assert_snapshot!(help_between(&["migrate"]), @r#"
    Bring the database up to the version of this program

    Usage: campanile migrate [OPTIONS]

    Options:
          --check      Only say whether a migration is due
          --no-backup  Keep no copy of the file before
      -h, --help       Print help (see more with '--help')

    …

    A server migrates when it starts. This does the same before, with the server stopped: the file as
    it was stays beside it as `campanile.db.vVERSION`.

    Exit codes: 0 up to date; 1 with --check, a migration is due.
    "#);
    assert_snapshot!(help_between(&["doctor"]), @r#"
    Explain what is wrong with this installation

    Usage: campanile doctor [OPTIONS]

    Options:
      -h, --help  Print help (see more with '--help')

    …

    Changes nothing. Reads the whole database, and compiles the files in the plugin folder.

    Exit codes: 0 it works, perhaps with warnings; 1 something is to be put right.
    "#);
}

#[test]
fn help_of_list_names_every_filter() {
    assert_snapshot!(own_help(&["list"]), @r"
    List notifications, the newest first

    Usage: campanile list [OPTIONS]

    Options:
          --status <STATUS>           pending, sent, failed, partial or cancelled
          --priority <PRIORITY>       low, normal, high or critical
          --channel <CHANNEL>         One of its deliveries goes through this channel
          --recipient <ADDRESS>       One of its deliveries goes to this address
          --kind <KIND>               info, success, warning, error or a word of your own
          --correlation-id <ID>       As it was given when it was sent
          --metadata <KEY=VALUE>      One of the pairs it was sent with
          --delivery-status <STATUS>  One of its deliveries is pending, retrying, sent, failed or
                                      cancelled
          --held                      One of its deliveries is held: its channel is not called now, or
                                      its template engine is not
          --due-since <TIME>          One of its deliveries waits until this or later; written as --at
                                      of `send`, and `2h` counts from now
          --due-until <TIME>          One of its deliveries waits until before this; written as
                                      --due-since
          --since <TIME>              Accepted at or after this: RFC 3339, `2h` for two hours ago,
                                      `9am`, `yesterday 17:30`
          --until <TIME>              Accepted before this; written as --since
          --limit <COUNT>             At most so many, 1 to 1000 [default: 100]
          --cursor <CURSOR>           Go on where the page before ended
      -h, --help                      Print help (see more with '--help')

    Exit codes: 0 found; 1 no server answers; 2 refused; 3 nothing matched.

    Examples:
      campanile list --status failed --since 2h
      campanile list --recipient ada@example.com --limit 10
      campanile list --delivery-status retrying --due-until 1h
      campanile list --held
      campanile --json list --correlation-id order-7
    ");
}

#[test]
fn help_of_cancel_and_replay_says_what_they_take() {
    assert_snapshot!(own_help(&["cancel"]), @r#"
    Cancel what has not left of a notification, or one delivery

    Usage: campanile cancel [OPTIONS] <ID>

    Arguments:
      <ID>  Id of a notification: all of its deliveries; or of one delivery: its siblings go on

    Options:
      -h, --help  Print help (see more with '--help')

    Exit codes: 0 cancelled; 1 all of it is final, or no server answers; 3 no such
    notification or delivery.

    Examples:
      campanile cancel ntf_01890a5d0b0170008000000000000001
      campanile cancel dlv_01890a5d0b0170008000000000000001_0
    "#);
    assert_snapshot!(own_help(&["replay"]), @r"
    Try again what failed for good

    Usage: campanile replay [OPTIONS] [ID]

    Arguments:
      [ID]  Id of a delivery, or of a notification: each of its deliveries that failed

    Options:
          --reason <REASON>      rejected, recipient-gone, exhausted, too-old, fault, expired or poison
          --priority <PRIORITY>  low, normal, high or critical
          --channel <CHANNEL>    Through this channel
          --recipient <ADDRESS>  To this address
          --kind <KIND>          info, success, warning, error or a word of your own
          --correlation-id <ID>  Of its notification, as it was given when that was sent
          --since <TIME>         Accepted at or after this: RFC 3339, `2h` for two hours ago, `9am`,
                                 `yesterday 17:30`
          --until <TIME>         Accepted before this; written as --since
          --all                  Every dead letter there is
          --rate <RATE>          How many are tried, such as `50/s`, `30/m` or `100/h` [default: all at
                                 once]
      -h, --help                 Print help (see more with '--help')

    All retries are before a delivery again; its id stays the same, so a receiver
    that has it already can tell.

    Exit codes: 0 they wait; 1 not failed or expired, or no server answers; 2 refused;
    3 nothing matched.

    Examples:
      campanile replay dlv_01890a5d0b0170008000000000000001_0
      campanile replay --channel ops --reason exhausted --since 1d --rate 50/s
      campanile replay --all
    ");
}

#[test]
fn help_of_dead_letters_says_what_can_be_done_with_them() {
    assert_snapshot!(own_help(&["dead-letters"]), @r#"
    Look at what failed for good

    Usage: campanile dead-letters [OPTIONS] <COMMAND>

    Commands:
      list   List dead letters, those of the oldest notifications first
      show   Show one with its attempts
      purge  Put dead letters away: their deliveries stay failed
      help   Print this message or the help of the given subcommand(s)

    Options:
      -h, --help  Print help (see more with '--help')
    "#);
    assert_snapshot!(own_help(&["dead-letters", "list"]), @r"
    List dead letters, those of the oldest notifications first

    Usage: campanile dead-letters list [OPTIONS]

    Options:
          --reason <REASON>      rejected, recipient-gone, exhausted, too-old, fault, expired or poison
          --priority <PRIORITY>  low, normal, high or critical
          --channel <CHANNEL>    Through this channel
          --recipient <ADDRESS>  To this address
          --kind <KIND>          info, success, warning, error or a word of your own
          --correlation-id <ID>  Of its notification, as it was given when that was sent
          --since <TIME>         Accepted at or after this: RFC 3339, `2h` for two hours ago, `9am`,
                                 `yesterday 17:30`
          --until <TIME>         Accepted before this; written as --since
          --limit <COUNT>        At most so many, 1 to 1000 [default: 100]
          --cursor <CURSOR>      Go on where the page before ended
      -h, --help                 Print help (see more with '--help')

    Exit codes: 0 found; 1 no server answers; 2 refused; 3 nothing matched.
    ");
    assert_snapshot!(own_help(&["dead-letters", "show"]), @r"
    Show one with its attempts

    Usage: campanile dead-letters show [OPTIONS] <ID>

    Arguments:
      <ID>  Id of a delivery, as `campanile dead-letters list` prints it

    Options:
      -h, --help  Print help (see more with '--help')

    Exit codes: 0 found; 1 no server answers; 3 no such delivery, or it has not failed.
    ");
    assert_snapshot!(own_help(&["dead-letters", "purge"]), @r"
    Put dead letters away: their deliveries stay failed

    Usage: campanile dead-letters purge [OPTIONS]

    Options:
          --reason <REASON>      rejected, recipient-gone, exhausted, too-old, fault, expired or poison
          --priority <PRIORITY>  low, normal, high or critical
          --channel <CHANNEL>    Through this channel
          --recipient <ADDRESS>  To this address
          --kind <KIND>          info, success, warning, error or a word of your own
          --correlation-id <ID>  Of its notification, as it was given when that was sent
          --since <TIME>         Accepted at or after this: RFC 3339, `2h` for two hours ago, `9am`,
                                 `yesterday 17:30`
          --until <TIME>         Accepted before this; written as --since
          --all                  Every dead letter there is
      -h, --help                 Print help (see more with '--help')

    Exit codes: 0 purged; 1 no server answers; 2 refused; 3 nothing matched.

    Examples:
      campanile dead-letters purge --reason expired
      campanile dead-letters purge --channel ops --until 30d
      campanile dead-letters purge --all
    ");
}

#[test]
fn wrong_usage_ends_with_two_and_help_with_zero() {
    let code = |arguments: &[&str]| Cli::try_parse_from(arguments).err().map(|error| error.use_stderr());
    assert_eq!(code(&["campanile", "send"]), Some(true));
    assert_eq!(code(&["campanile", "send", "-c", "x", "--priority", "urgent"]), Some(true));
    assert_eq!(code(&["campanile", "send", "-c", "x", "-d", "novalue"]), Some(true));
    assert_eq!(code(&["campanile", "status", "../x"]), Some(true));
    let id = "dlv_01890a5d0b0170008000000000000001_0";
    assert_eq!(code(&["campanile", "cancel", id]), None);
    assert_eq!(code(&["campanile", "cancel", "dlv_x"]), Some(true));
    assert_eq!(code(&["campanile", "replay", id]), None);
    assert_eq!(code(&["campanile", "replay", id, "--rate", "50/s"]), Some(true));
    assert_eq!(code(&["campanile", "replay", id, "--channel", "ops"]), Some(true));
    assert_eq!(code(&["campanile", "replay", id, "--all"]), Some(true));
    assert_eq!(code(&["campanile", "replay", "--channel", "ops", "--rate", "fast"]), Some(true));
    assert_eq!(code(&["campanile", "replay", "--channel", "ops", "--all"]), Some(true));
    assert_eq!(code(&["campanile", "dead-letters", "purge", "--reason", "expired", "--all"]), Some(true));
    assert_eq!(code(&["campanile", "list", "--status", "done"]), Some(true));
    assert_eq!(code(&["campanile", "--help"]), Some(false));
    assert_eq!(code(&["campanile", "--version"]), Some(false));
}
