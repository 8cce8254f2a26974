//! The row of what is remembered of a plugin.

use super::{put_timestamp, timestamp};
use crate::domain::{Bar, BarKind, Permission, PluginBook, PluginName, VersionMark};
use crate::store::sqlite::wire::{Damaged, Reader, put_option, put_text, put_u64};

/// Format 1 ended with the bars: a book was only made for what had served.
const FORMAT: u8 = 2;

pub(in crate::store::sqlite) fn put_book(out: &mut Vec<u8>, book: &PluginBook) {
    // The name is the row's key.
    let PluginBook { plugin: _, serving, previous, canary, approved, bars, has_served, told } = book;
    out.push(FORMAT);
    for mark in [serving, previous, canary] {
        put_option(out, mark.as_ref(), put_mark);
    }
    put_u64(out, approved.len() as u64);
    for Permission { capability, scope, required } in approved {
        put_text(out, capability);
        put_text(out, scope);
        out.push(u8::from(*required));
    }
    put_u64(out, bars.len() as u64);
    for Bar { mark, kind, reason } in bars {
        put_mark(out, mark);
        put_text(out, kind.as_str());
        put_text(out, reason);
    }
    out.push(u8::from(*has_served));
    put_u64(out, told.len() as u64);
    for told in told {
        out.extend_from_slice(told);
    }
}

pub(in crate::store::sqlite) fn book(plugin: PluginName, bytes: &[u8]) -> Result<PluginBook, Damaged> {
    let mut row = Reader::new("plugin", bytes);
    let format = row.u8()?;
    if !(1..=FORMAT).contains(&format) {
        return Err(row.damaged());
    }
    let book = PluginBook {
        plugin,
        serving: row.option(mark)?,
        previous: row.option(mark)?,
        canary: row.option(mark)?,
        approved: row
            .list(|row| Ok(Permission { capability: row.text()?, scope: row.text()?, required: row.bool()? }))?,
        bars: row.list(|row| Ok(Bar { mark: mark(row)?, kind: kind(row)?, reason: row.text()? }))?,
        has_served: format == 1 || row.bool()?,
        told: if format == 1 { Vec::new() } else { row.list(Reader::array)? },
    };
    row.end(book)
}

fn put_mark(out: &mut Vec<u8>, mark: &VersionMark) {
    out.extend_from_slice(&mark.sha256);
    put_text(out, &mark.version.to_string());
    put_timestamp(out, mark.since);
}

fn mark(row: &mut Reader<'_>) -> Result<VersionMark, Damaged> {
    Ok(VersionMark {
        sha256: row.array()?,
        version: row.text()?.parse().map_err(|_| row.damaged())?,
        since: timestamp(row)?,
    })
}

fn kind(row: &mut Reader<'_>) -> Result<BarKind, Damaged> {
    let word = row.text()?;
    BarKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| row.damaged())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::book as example;

    #[test]
    fn a_book_survives_its_row_and_a_cut_one_is_an_error() {
        let given = example("slack", 2);
        let mut bytes = Vec::new();
        put_book(&mut bytes, &given);
        assert_eq!(book(given.plugin.clone(), &bytes).as_ref(), Ok(&given));
        for length in 0..bytes.len() {
            assert!(book(given.plugin.clone(), &bytes[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn a_book_of_the_first_format_is_read_as_one_of_a_plugin_that_has_served() {
        let given = PluginBook { told: Vec::new(), ..example("slack", 2) };
        let mut bytes = Vec::new();
        put_book(&mut bytes, &given);
        bytes[0] = 1;
        bytes.truncate(bytes.len() - 2);
        assert_eq!(book(given.plugin.clone(), &bytes), Ok(given));
    }
}
