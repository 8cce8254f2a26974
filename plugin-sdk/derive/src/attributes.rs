//! What stands in `#[config(…)]` and in doc comments.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Error, Expr, ExprLit, Field, Ident, Lit, LitStr, Meta, Token, Variant};

/// What a field says of itself.
pub(crate) struct FieldAttributes {
    pub(crate) default: Option<Default>,
    rename: Option<LitStr>,
    /// Of a secret: where it may be put.
    pub(crate) places: Option<LitStr>,
    /// Keyword of JSON Schema and its value.
    keywords: Vec<(&'static str, Lit)>,
}

/// What a field is where its key is absent.
pub(crate) enum Default {
    /// `Default::default()` of its type.
    OfType,
    /// This JSON value.
    Literal(Expr),
}

impl FieldAttributes {
    pub(crate) fn parse(field: &Field) -> syn::Result<Self> {
        let mut found = Self { default: None, rename: None, places: None, keywords: Vec::new() };
        for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("config")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("default") {
                    let is_written = meta.input.peek(Token![=]);
                    let written = if is_written { Default::Literal(meta.value()?.parse()?) } else { Default::OfType };
                    found.default = Some(written);
                    return Ok(());
                }
                if meta.path.is_ident("rename") {
                    found.rename = Some(meta.value()?.parse()?);
                    return Ok(());
                }
                if meta.path.is_ident("places") {
                    let places: LitStr = meta.value()?.parse()?;
                    let known = ["url", "headers", "body", "auth", "sign"];
                    if let Some(word) = places.value().split(',').map(str::trim).find(|word| !known.contains(word)) {
                        let message = format!("`{word}` is no place of a secret: there are {}", known.join(", "));
                        return Err(Error::new_spanned(&places, message));
                    }
                    found.places = Some(places);
                    return Ok(());
                }
                let keywords = [
                    ("min_length", "minLength"),
                    ("max_length", "maxLength"),
                    ("min", "minimum"),
                    ("max", "maximum"),
                    ("format", "format"),
                    ("pattern", "pattern"),
                ];
                let Some((_, keyword)) = keywords.iter().find(|(name, _)| meta.path.is_ident(name)) else {
                    return Err(meta.error(
                        "unknown: there are `default`, `rename`, `places`, `min_length`, `max_length`, `min`, `max`, `format`, `pattern`",
                    ));
                };
                found.keywords.push((keyword, meta.value()?.parse()?));
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// The key in the config.
    pub(crate) fn key(&self, name: &Ident) -> String {
        let written = name.to_string();
        self.rename.as_ref().map_or_else(|| written.trim_start_matches("r#").to_owned(), LitStr::value)
    }

    /// Pairs of keyword and JSON value.
    pub(crate) fn constraints(&self) -> Vec<TokenStream> {
        let pair = |keyword: &str, value: TokenStream| quote!((#keyword, ::campanile_plugin_sdk::json!(#value)));
        let mut pairs: Vec<_> = self.keywords.iter().map(|(keyword, value)| pair(keyword, quote!(#value))).collect();
        if let Some(Default::Literal(value)) = &self.default {
            pairs.push(pair("default", quote!(#value)));
        }
        pairs
    }
}

/// The doc comment as one text: lines of a paragraph joined, paragraphs apart.
pub(crate) fn description(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for line in attributes.iter().filter_map(doc_line) {
        let line = line.trim();
        if line.is_empty() {
            text.push_str("\n\n");
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push(' ');
        }
        text.push_str(line);
    }
    text.trim().to_owned()
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(meta) = &attribute.meta else { return None };
    let Expr::Lit(ExprLit { lit: Lit::Str(line), .. }) = &meta.value else { return None };
    meta.path.is_ident("doc").then(|| line.value())
}

/// The word for a variant: renamed, or its name in kebab case.
pub(crate) fn variant_word(variant: &Variant) -> syn::Result<String> {
    let mut word = None;
    for attribute in variant.attrs.iter().filter(|attribute| attribute.path().is_ident("config")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(Error::new_spanned(&meta.path, "unknown: a variant has `rename` only"));
            }
            word = Some(meta.value()?.parse::<LitStr>()?.value());
            Ok(())
        })?;
    }
    Ok(word.unwrap_or_else(|| kebab_case(&variant.ident.to_string())))
}

fn kebab_case(name: &str) -> String {
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('-');
        }
        word.push(letter.to_ascii_lowercase());
    }
    word
}
