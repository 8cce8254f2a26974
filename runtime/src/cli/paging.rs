//! A page of a list: asked for until something is on it, shown, with the command for the page behind it.

use serde::de::DeserializeOwned;

use super::client::{Answered, Client};
use super::failure::{Exit, Failure};
use super::list::more;
use super::terminal::Paint;
use super::{Answer, Globals};

/// How much is asked for, and from where on.
#[derive(Debug, clap::Args)]
pub(super) struct Paging {
    /// At most so many, 1 to 1000 [default: 100]
    #[arg(long, value_name = "COUNT")]
    limit: Option<u32>,
    /// Go on where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

/// What a server gives of a list at once.
pub(super) trait Page: DeserializeOwned {
    fn is_empty(&self) -> bool;
    /// Where the next one begins.
    fn next(&self) -> Option<&str>;
    fn table(&self, paint: Paint) -> String;
}

/// Which list.
pub(super) struct List<'a> {
    pub(super) path: &'a [&'a str],
    /// What asks for it, behind `campanile`.
    pub(super) command: &'a str,
    /// What is said where nothing is on it.
    pub(super) nothing: &'a str,
    pub(super) filters: Vec<(&'static str, String)>,
}

/// The page that is asked for.
pub(super) async fn show<P: Page>(globals: &Globals, list: List<'_>, paging: &Paging) -> Result<Answer, Failure> {
    let List { path, command, nothing, filters: mut query } = list;
    query.extend(paging.limit.map(|limit| ("limit", limit.to_string())));
    let client = Client::new(globals)?;
    let mut cursor = paging.cursor.clone();
    // A page may have looked at many and found none: what is asked for is what matches.
    let page: Answered<P> = loop {
        let mut asked = query.clone();
        asked.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page: Answered<P> = client.page(path, &asked).await?;
        match page.value.next() {
            Some(next) if page.value.is_empty() => cursor = Some(next.to_owned()),
            _ => break page,
        }
    };
    let text = match (globals.json, page.value.is_empty()) {
        (true, _) => format!("{:#}\n", page.json),
        (false, true) => String::new(),
        (false, false) => page.value.table(globals.paint_stdout()),
    };
    if page.value.is_empty() {
        return Ok(Answer { text, talk: format!("{nothing}\n"), exit: Exit::Nothing });
    }
    let talk = page.value.next().map(|next| more(command, &query, next)).unwrap_or_default();
    Ok(Answer { text, talk, exit: Exit::Ok })
}
