//! `#[derive(Config)]` of the Campanile plugin SDK. Documented where the trait is: `campanile_plugin_sdk::Config`.

mod attributes;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DataEnum, DeriveInput, Error, Fields, parse_macro_input};

use crate::attributes::{Default, FieldAttributes, description, variant_word};

/// Parsing and JSON Schema of a config struct, or of an enum of unit variants.
#[proc_macro_derive(Config, attributes(config))]
pub fn derive_config(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a config has no generic parameters"));
    }
    let methods = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(_) | Fields::Unit => expand_struct(input, &data.fields)?,
            Fields::Unnamed(fields) => return Err(Error::new_spanned(fields, "the fields of a config have names")),
        },
        Data::Enum(data) => expand_enum(input, data)?,
        Data::Union(data) => return Err(Error::new_spanned(data.union_token, "a union cannot be a config")),
    };
    let name = &input.ident;
    Ok(quote! {
        impl ::campanile_plugin_sdk::Config for #name { #methods }
    })
}

fn expand_struct(input: &DeriveInput, fields: &Fields) -> syn::Result<TokenStream> {
    let mut parse = Vec::new();
    let mut names = Vec::new();
    let mut keys = Vec::new();
    let mut properties = Vec::new();
    let mut secrets = Vec::new();
    for field in fields {
        let name = field.ident.as_ref().ok_or_else(|| Error::new_spanned(field, "a field without a name"))?;
        let kind = &field.ty;
        let attributes = FieldAttributes::parse(field)?;
        let key = attributes.key(name);
        let (default, required) = match &attributes.default {
            None => {
                let absent = quote!(<#kind as ::campanile_plugin_sdk::Config>::absent);
                (absent.clone(), quote!(#absent().is_none()))
            }
            Some(Default::OfType) => {
                (quote!(|| ::core::option::Option::Some(::core::default::Default::default())), quote!(false))
            }
            Some(Default::Literal(value)) => (
                quote!(|| ::campanile_plugin_sdk::config::derived::literal(::campanile_plugin_sdk::json!(#value))),
                quote!(false),
            ),
        };
        parse.push(quote! {
            let #name: #kind = ::campanile_plugin_sdk::config::derived::field(&mut keys, #key, #default)?;
        });
        let description = description(&field.attrs);
        let constraints = attributes.constraints();
        properties.push(quote! {
            ::campanile_plugin_sdk::config::derived::Property {
                key: #key,
                schema: <#kind as ::campanile_plugin_sdk::Config>::schema(),
                required: #required,
                description: #description,
                constraints: ::std::vec![#(#constraints),*],
            }
        });
        let places = attributes.places.as_ref().map_or_else(
            || quote!(::core::option::Option::None),
            |places| quote!(::core::option::Option::Some(#places)),
        );
        secrets.push(quote! {
            found.extend(::campanile_plugin_sdk::config::derived::secrets(
                <#kind as ::campanile_plugin_sdk::Config>::secrets(), #key, #places,
            ));
        });
        names.push(name);
        keys.push(key);
    }
    let value = if matches!(fields, Fields::Unit) { quote!(Self) } else { quote!(Self { #(#names),* }) };
    let mutable = (!names.is_empty()).then(|| quote!(mut));
    let description = description(&input.attrs);
    Ok(quote! {
        fn from_value(
            value: ::campanile_plugin_sdk::Value,
        ) -> ::core::result::Result<Self, ::campanile_plugin_sdk::ConfigProblem> {
            let #mutable keys = ::campanile_plugin_sdk::config::derived::keys(value)?;
            #(#parse)*
            ::campanile_plugin_sdk::config::derived::finish(keys, &[#(#keys),*])?;
            ::core::result::Result::Ok(#value)
        }

        fn schema() -> ::campanile_plugin_sdk::Value {
            ::campanile_plugin_sdk::config::derived::object(#description, ::std::vec![#(#properties),*])
        }

        fn secrets() -> ::std::vec::Vec<::campanile_plugin_sdk::SecretKey> {
            let #mutable found = ::std::vec::Vec::new();
            #(#secrets)*
            found
        }
    })
}

fn expand_enum(input: &DeriveInput, data: &DataEnum) -> syn::Result<TokenStream> {
    let mut variants = Vec::new();
    let mut words = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(variant, "a variant of a config enum carries nothing"));
        }
        variants.push(&variant.ident);
        words.push(variant_word(variant)?);
    }
    let places = 0..variants.len();
    let description = description(&input.attrs);
    Ok(quote! {
        fn from_value(
            value: ::campanile_plugin_sdk::Value,
        ) -> ::core::result::Result<Self, ::campanile_plugin_sdk::ConfigProblem> {
            match ::campanile_plugin_sdk::config::derived::word(value, &[#(#words),*])? {
                #(#places => ::core::result::Result::Ok(Self::#variants),)*
                _ => ::core::unreachable!("`word` answers a place in the list it was given"),
            }
        }

        fn schema() -> ::campanile_plugin_sdk::Value {
            ::campanile_plugin_sdk::config::derived::words(#description, &[#(#words),*])
        }
    })
}
