//! One function for each kind of value: a scalar in, the value or what is wrong with it out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::retry::STRATEGIES;
use crate::config::tree::{Node, Scalar};
use crate::config::{
    Balance, Durability, ParseSecretRefError, ParseUnitError, SecretRef, Trust, TrustedKey, WhenFull, nearest,
    parse_duration, parse_size,
};
use crate::domain::{Jitter, NameError, Priority, Rate};

/// What is wrong, to be read after the key.
type Complaint = String;

fn expected(wanted: &str, found: &Scalar) -> Complaint {
    format!("is {}, expected {wanted}", found.kind())
}

fn text<'a>(scalar: &'a Scalar, wanted: &str) -> Result<&'a str, Complaint> {
    match scalar {
        Scalar::Text(text) | Scalar::String(text) => Ok(text),
        Scalar::Integer(_) | Scalar::Float(_) | Scalar::Boolean(_) | Scalar::Datetime(_) | Scalar::Array(_) => {
            Err(expected(wanted, scalar))
        }
    }
}

pub(super) fn string(scalar: &Scalar) -> Result<String, Complaint> {
    text(scalar, "a string").map(str::to_owned)
}

pub(super) fn path(scalar: &Scalar) -> Result<PathBuf, Complaint> {
    match text(scalar, "a path")? {
        "" => Err("is an empty path".to_owned()),
        path => Ok(PathBuf::from(path)),
    }
}

pub(super) fn boolean(scalar: &Scalar) -> Result<bool, Complaint> {
    match scalar {
        Scalar::Boolean(value) => Ok(*value),
        Scalar::Text(text) => text.parse().map_err(|_| format!("is `{text}`, expected `true` or `false`")),
        Scalar::String(_) | Scalar::Integer(_) | Scalar::Float(_) | Scalar::Datetime(_) | Scalar::Array(_) => {
            Err(expected("`true` or `false`", scalar))
        }
    }
}

/// A whole number. What does not fit its type is out of any range: the limits proper are `check`'s.
pub(super) fn integer<T: TryFrom<i64>>(scalar: &Scalar) -> Result<T, Complaint> {
    let number = match scalar {
        Scalar::Integer(number) => *number,
        Scalar::Text(text) => text.parse().map_err(|_| format!("is `{text}`, expected an integer"))?,
        Scalar::String(_) | Scalar::Float(_) | Scalar::Boolean(_) | Scalar::Datetime(_) | Scalar::Array(_) => {
            return Err(expected("an integer", scalar));
        }
    };
    T::try_from(number)
        .map_err(|_| format!("is `{number}`, which is {}", if number < 0 { "negative" } else { "too large" }))
}

pub(super) fn number(scalar: &Scalar) -> Result<f64, Complaint> {
    match scalar {
        Scalar::Float(number) => Ok(*number),
        // Exact up to 2^53, far beyond every limit.
        Scalar::Integer(number) => Ok(*number as f64),
        Scalar::Text(text) => text.parse().map_err(|_| format!("is `{text}`, expected a number")),
        Scalar::String(_) | Scalar::Boolean(_) | Scalar::Datetime(_) | Scalar::Array(_) => {
            Err(expected("a number", scalar))
        }
    }
}

fn unit(error: &ParseUnitError) -> Complaint {
    format!("has a bad value: {error}")
}

pub(super) fn duration(scalar: &Scalar) -> Result<Duration, Complaint> {
    text(scalar, "a duration such as `\"10s\"`").and_then(|text| parse_duration(text).map_err(|error| unit(&error)))
}

pub(super) fn size(scalar: &Scalar) -> Result<u64, Complaint> {
    text(scalar, "a size such as `\"4MiB\"`").and_then(|text| parse_size(text).map_err(|error| unit(&error)))
}

pub(super) fn address(scalar: &Scalar) -> Result<SocketAddr, Complaint> {
    let text = text(scalar, "an address such as `\"127.0.0.1:7433\"`")?;
    text.parse().map_err(|_| format!("is `{text}`, expected an IP address and a port, such as `127.0.0.1:7433`"))
}

pub(super) fn durability(scalar: &Scalar) -> Result<Durability, Complaint> {
    let wanted = "one of `full`, `os`, `memory`";
    let text = text(scalar, wanted)?;
    let all = [Durability::Full, Durability::Os, Durability::Memory];
    all.into_iter().find(|one| one.as_str() == text).ok_or_else(|| format!("is `{text}`, expected {wanted}"))
}

/// The word of a strategy of the worker pool.
pub(super) fn balance(scalar: &Scalar) -> Result<Balance, Complaint> {
    let words = Balance::ALL.map(Balance::as_str);
    let wanted = format!("one of `{}`", words.join("`, `"));
    let text = text(scalar, &wanted)?;
    Balance::ALL.into_iter().find(|one| one.as_str() == text).ok_or_else(|| {
        let meant = nearest(text, words.into_iter()).map(|near| format!("; did you mean `{near}`?"));
        format!("is `{text}`, expected {wanted}{}", meant.unwrap_or_default())
    })
}

pub(super) fn when_full(scalar: &Scalar) -> Result<WhenFull, Complaint> {
    let words = WhenFull::ALL.map(WhenFull::as_str);
    let wanted = format!("one of `{}`", words.join("`, `"));
    let text = text(scalar, &wanted)?;
    WhenFull::ALL.into_iter().find(|one| one.as_str() == text).ok_or_else(|| {
        let meant = nearest(text, words.into_iter()).map(|near| format!("; did you mean `{near}`?"));
        format!("is `{text}`, expected {wanted}{}", meant.unwrap_or_default())
    })
}

/// `sqlite://PATH`. The value is not quoted: the URL of another kind of store may hold a password.
pub(super) fn store_url(scalar: &Scalar) -> Result<PathBuf, Complaint> {
    let text = text(scalar, "`\"sqlite://PATH\"`")?;
    let Some(path) = text.strip_prefix("sqlite://") else {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        return Err(match scheme {
            "" => "is no URL, expected `sqlite://PATH`".to_owned(),
            _ => format!("names the engine `{scheme}`, expected `sqlite://PATH`"),
        });
    };
    if path.is_empty() || path == ":memory:" {
        return Err(
            "names no file, expected `sqlite://PATH`; to keep nothing, set `durability = \"memory\"`".to_owned()
        );
    }
    if path.contains('?') {
        return Err(
            "has options after `?`, which are none of its own: the settings of `[store]` are all there are".to_owned()
        );
    }
    Ok(PathBuf::from(path))
}

pub(super) fn name<T>(scalar: &Scalar, new: impl Fn(&str) -> Result<T, NameError>) -> Result<T, Complaint> {
    new(text(scalar, "a name")?).map_err(|error| format!("has a bad value: {error}"))
}

pub(super) fn priority(scalar: &Scalar) -> Result<Priority, Complaint> {
    text(scalar, "one of `low`, `normal`, `high`, `critical`")?
        .parse()
        .map_err(|error| format!("has a bad value: {error}"))
}

/// A share of a hundred: `"5%"`.
pub(super) fn percent(scalar: &Scalar) -> Result<u8, Complaint> {
    let wanted = "a share such as `\"5%\"`";
    let text = text(scalar, wanted)?;
    let number = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
    number.ok_or_else(|| format!("is `{text}`, expected {wanted}"))
}

/// So many in a time: `"50/s"`.
pub(super) fn rate(scalar: &Scalar) -> Result<Rate, Complaint> {
    let text = text(scalar, "a rate such as `\"50/s\"`")?;
    text.parse().map_err(|error| format!("has a bad value: {error}"))
}

/// The word of a retry strategy.
pub(super) fn strategy(scalar: &Scalar) -> Result<&'static str, Complaint> {
    let wanted = format!("one of `{}`", STRATEGIES.join("`, `"));
    let text = text(scalar, &wanted)?;
    STRATEGIES.into_iter().find(|known| *known == text).ok_or_else(|| format!("is `{text}`, expected {wanted}"))
}

/// A share to be late by (`0.1`), or `none`, `full`, `equal`, `+10%`, `±10%`.
pub(super) fn jitter(scalar: &Scalar) -> Result<Jitter, Complaint> {
    let wanted = "a share such as `0.1`, or one of `\"none\"`, `\"full\"`, `\"equal\"`, `\"+10%\"`, `\"±10%\"`";
    if let Scalar::Integer(_) | Scalar::Float(_) = scalar {
        return number(scalar).map(Jitter::Plus);
    }
    let text = text(scalar, wanted)?;
    let share = |text: &str| match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse().ok().map(|percent: f64| percent / 100.0),
        None => text.parse().ok(),
    };
    let jitter = match text {
        "none" => Some(Jitter::None),
        "full" => Some(Jitter::Full),
        "equal" => Some(Jitter::Equal),
        _ => match text.strip_prefix('±').or_else(|| text.strip_prefix("+-")) {
            Some(rest) => share(rest).map(Jitter::PlusMinus),
            None => share(text.strip_prefix('+').unwrap_or(text)).map(Jitter::Plus),
        },
    };
    jitter.ok_or_else(|| format!("is `{text}`, expected {wanted}"))
}

pub(super) fn wait(text: &str) -> Result<Duration, Complaint> {
    parse_duration(text).map_err(|error| unit(&error))
}

/// Where a secret is. A complaint quotes nothing: it may be the secret itself.
pub(super) fn secret(scalar: &Scalar) -> Result<SecretRef, Complaint> {
    let text = text(scalar, "a reference to a secret").map_err(|_| ParseSecretRefError.to_string())?;
    text.parse().map_err(|error: ParseSecretRefError| error.to_string())
}

pub(super) fn trust(scalar: &Scalar) -> Result<Trust, Complaint> {
    let written = text(scalar, "`\"off\"`, `\"warn\"` or `\"require\"`")?;
    let known = Trust::ALL.into_iter().find(|trust| trust.as_str() == written);
    known.ok_or_else(|| format!("is `{written}`, expected `off`, `warn` or `require`"))
}

pub(super) fn trusted_key(text: &str) -> Result<TrustedKey, Complaint> {
    text.parse::<TrustedKey>().map_err(|error| format!("has `{text}`, which {error}"))
}

/// Texts; separated by commas where they come from a variable.
pub(super) fn list(scalar: &Scalar) -> Result<Vec<String>, Complaint> {
    let wanted = "an array of strings";
    match scalar {
        Scalar::Text(text) => {
            Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
        }
        Scalar::Array(items) => items
            .iter()
            .map(|item| match item {
                Node::Value(value) => {
                    string(&value.scalar).map_err(|_| format!("holds {}, expected {wanted}", value.scalar.kind()))
                }
                Node::Table(_) => Err(format!("holds a table, expected {wanted}")),
            })
            .collect(),
        Scalar::String(_) | Scalar::Integer(_) | Scalar::Float(_) | Scalar::Boolean(_) | Scalar::Datetime(_) => {
            Err(expected(wanted, scalar))
        }
    }
}
