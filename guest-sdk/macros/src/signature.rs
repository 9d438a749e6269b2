//! A function as far as a task needs it. The parser that `syn` has for functions comes with those for
//! all of Rust, which take longer to build than everything else that a task is built with.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Generics, Lifetime, LitStr, Result, ReturnType, Token, Type, Visibility,
    parenthesized,
};

/// What stands before a function's body.
pub struct Signature {
    pub asyncness: Option<Token![async]>,
    pub unsafety: Option<Token![unsafe]>,
    pub ident: Ident,
    pub generics: Generics,
    pub inputs: Punctuated<Parameter, Token![,]>,
    pub output: ReturnType,
}

/// A parameter.
pub enum Parameter {
    /// `self`, in whatever form.
    Receiver(TokenStream),
    /// One of this type, whatever its pattern.
    Typed(Box<Type>),
}

impl Parse for Signature {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        input.call(Attribute::parse_outer)?;
        input.parse::<Visibility>()?;
        input.parse::<Option<Token![const]>>()?;
        let asyncness = input.parse()?;
        let unsafety = input.parse()?;
        if input.parse::<Option<Token![extern]>>()?.is_some() {
            input.parse::<Option<LitStr>>()?;
        }
        input.parse::<Token![fn]>()?;
        let ident = input.parse()?;
        let generics = input.parse()?;
        let parameters;
        parenthesized!(parameters in input);
        let inputs = parameters.parse_terminated(Parameter::parse, Token![,])?;
        let output = input.parse()?;
        // Bounds and the body are the compiler's.
        input.parse::<TokenStream>()?;
        Ok(Self { asyncness, unsafety, ident, generics, inputs, output })
    }
}

impl Parse for Parameter {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        input.call(Attribute::parse_outer)?;
        if is_receiver(&input.fork())? {
            let mut receiver = TokenStream::new();
            while !input.is_empty() && !input.peek(Token![,]) {
                receiver.extend([input.parse::<TokenTree>()?]);
            }
            return Ok(Self::Receiver(receiver));
        }
        // A path has colons of its own.
        while input.peek(Token![::]) || !input.peek(Token![:]) {
            if input.parse::<Option<Token![::]>>()?.is_none() {
                input.parse::<TokenTree>()?;
            }
        }
        input.parse::<Token![:]>()?;
        Ok(Self::Typed(input.parse()?))
    }
}

/// Whether a parameter is `self`, `mut self`, `&self`, `&'a mut self` or `self: T`.
fn is_receiver(input: ParseStream<'_>) -> Result<bool> {
    if input.parse::<Option<Token![&]>>()?.is_some() {
        input.parse::<Option<Lifetime>>()?;
    }
    input.parse::<Option<Token![mut]>>()?;
    Ok(input.peek(Token![self]) && !input.peek2(Token![::]))
}

impl ToTokens for Parameter {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Receiver(receiver) => receiver.to_tokens(tokens),
            Self::Typed(kind) => kind.to_tokens(tokens),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name, and the types of the parameters.
    fn read(source: &str) -> (String, Vec<String>) {
        let signature: Signature = syn::parse_str(source).unwrap();
        let kind = |parameter: &Parameter| match parameter {
            Parameter::Receiver(_) => "self".to_owned(),
            Parameter::Typed(kind) => kind.to_token_stream().to_string(),
        };
        (signature.ident.to_string(), signature.inputs.iter().map(kind).collect())
    }

    #[test]
    fn every_form_of_a_function_is_read() {
        for (source, kinds) in [
            ("fn f(n: u64) {}", &["u64"][..]),
            (
                "/// Doc.\n#[inline] pub(crate) const unsafe extern \"C\" fn f(n: u8,) -> u8 { n }",
                &["u8"],
            ),
            ("fn f<'a>(s: &'a str) -> &'a str where 'a: 'a { s }", &["& 'a str"]),
            ("fn f((a, b): (u8, u8), c: &mut Context) {}", &["(u8 , u8)", "& mut Context"]),
            (
                "fn f(my::Point { x, y }: my::Point) -> impl Iterator<Item = u8> {}",
                &["my :: Point"],
            ),
            ("fn f(mut n: Vec<[u8; 4]>) {}", &["Vec < [u8 ; 4] >"]),
            ("fn f(#[allow(unused)] _: ()) {}", &["()"]),
            ("fn f(&'a mut self, self: Box<Self>, n: u8) {}", &["self", "self", "u8"]),
        ] {
            let (name, found) = read(source);
            assert_eq!(
                (name.as_str(), found.as_slice()),
                ("f", &kinds.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{source}"
            );
        }
    }

    #[test]
    fn what_is_no_function_is_no_signature() {
        for source in ["struct S;", "impl S {}", "const N: u8 = 1;", "", "fn f(n) {}", "fn"] {
            assert!(syn::parse_str::<Signature>(source).is_err(), "{source}");
        }
    }
}
