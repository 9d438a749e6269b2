//! From a function to a task: checks that it can be one, and writes the glue.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, FnArg, ItemFn, Result, Type};

/// The item that the attribute stands on, with a task and a `main` beside it; or why it cannot be.
pub fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[wasmgrid::task]` takes no arguments"));
    }
    let function: ItemFn = syn::parse2(item).map_err(|error| {
        Error::new(
            error.span(),
            "`#[wasmgrid::task]` stands on a function: `fn name(input: T) -> U`",
        )
    })?;
    check_signature(&function)?;
    let parameters = parameters(&function)?;
    Ok(write(&function, &parameters))
}

fn check_signature(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    let fault = |at: &dyn Spanned, message: &str| Err(Error::new(at.span(), message));
    if let Some(token) = &signature.asyncness {
        return fault(
            token,
            "a task is synchronous: the grid runs many at once, each is a plain `fn`",
        );
    }
    if let Some(token) = &signature.unsafety {
        return fault(token, "a task is a safe function: its input comes from anywhere");
    }
    let kinds = &signature.generics;
    if kinds.type_params().next().is_some() || kinds.const_params().next().is_some() {
        return fault(
            &kinds.params,
            "a task is not generic: its input and output are what they are",
        );
    }
    if signature.ident == "main" {
        return fault(
            &signature.ident,
            "the attribute writes `main` itself: give the task another name",
        );
    }
    match signature.inputs.len() {
        0 => fault(&signature.ident, "a task takes its input: write `_: ()` if it needs none"),
        1..=3 => Ok(()),
        _ => fault(
            &signature.inputs,
            "a task takes one input and, if it wants, a value by `&` and a \
             `&mut wasmgrid::Context`: put more values into a struct or a tuple",
        ),
    }
}

/// What a task's parameters are.
struct Parameters<'a> {
    input: &'a Type,
    /// What the value is that all tasks have, behind its `&`.
    value: Option<&'a Type>,
    takes_context: bool,
}

fn parameters(function: &ItemFn) -> Result<Parameters<'_>> {
    let kind = |parameter| match parameter {
        &FnArg::Typed(ref parameter) => Ok(&*parameter.ty),
        FnArg::Receiver(_) => {
            Err(Error::new(function.sig.inputs.span(), "a task is a function, not a method"))
        }
    };
    let kinds = function.sig.inputs.iter().map(kind).collect::<Result<Vec<_>>>()?;
    let fault = |at: &Type, message: &str| Err(Error::new(at.span(), message));
    let found = |input, value, takes_context| Ok(Parameters { input, value, takes_context });
    match kinds.as_slice() {
        [input] => found(input, None, false),
        [input, second] => match second {
            Type::Reference(second) if second.mutability.is_some() => found(input, None, true),
            Type::Reference(second) => found(input, Some(&second.elem), false),
            _ => fault(
                second,
                "the second parameter is `&mut wasmgrid::Context`, or a value that is the same \
                 for all tasks, by `&`",
            ),
        },
        [input, Type::Reference(second), Type::Reference(third)]
            if second.mutability.is_none() && third.mutability.is_some() =>
        {
            found(input, Some(&second.elem), true)
        }
        [.., last] => fault(
            last,
            "behind the input stand, in this order, a value that is the same for all tasks, by \
             `&`, and `&mut wasmgrid::Context`: put more values into a struct or a tuple",
        ),
        [] => Err(Error::new(function.sig.ident.span(), "a task takes its input")),
    }
}

fn write(function: &ItemFn, parameters: &Parameters<'_>) -> TokenStream {
    let name = &function.sig.ident;
    let &Parameters { input, value, takes_context } = parameters;
    let takes_value = value.is_some();
    let value_argument = takes_value.then(|| quote!(, &__given));
    let context = takes_context.then(|| quote!(, __context));
    let output = function.sig.output.span();
    // Locals have names that no task has, or they would hide it. And where a type does not fit, the spans
    // make the compiler point at it and not at the attribute.
    let decode = quote_spanned!(input.span()=> ::wasmgrid::__private::Argument::<#input>::new().decode(__input)?);
    let take = value.map(|value| {
        quote_spanned!(value.span()=> let __given = ::wasmgrid::__private::Given::<#value>::new().decode(__value)?;)
    });
    let encode = quote_spanned!(output=> ::wasmgrid::__private::Value(__value).encode());
    let fail = quote_spanned!(output=> ::wasmgrid::__private::Failed(__error).error());
    quote! {
        #function

        #[doc(hidden)]
        enum __WasmgridTask {}

        const _: () = {
            impl ::wasmgrid::__private::Task for __WasmgridTask {
                const TAKES_CONTEXT: bool = #takes_context;
                const TAKES_VALUE: bool = #takes_value;

                fn run(
                    __input: &mut ::std::vec::Vec<u8>,
                    __value: &[u8],
                    __context: &mut ::wasmgrid::Context,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, ::wasmgrid::Error> {
                    #[allow(unused_imports)]
                    use ::wasmgrid::__private::{AnyError as _, AnyValue as _, Typed as _, TypedGiven as _, TypedValue as _};
                    #take
                    let __argument = #decode;
                    match ::wasmgrid::__private::Returned(#name(__argument #value_argument #context)).split() {
                        ::core::result::Result::Ok(__value) => #encode,
                        ::core::result::Result::Err(__error) => ::core::result::Result::Err(#fail),
                    }
                }
            }

            ::wasmgrid::__export!(__WasmgridTask);
        };

        fn main() -> ::std::process::ExitCode {
            ::wasmgrid::__private::main::<__WasmgridTask>()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(source: &str) -> String {
        let item = source.parse().unwrap();
        expand(TokenStream::new(), item).unwrap_err().to_string()
    }

    #[test]
    fn a_function_stays_and_gains_a_task_and_a_main() {
        let item = quote!(
            fn double(n: u64) -> u64 {
                2 * n
            }
        );
        let expanded = expand(TokenStream::new(), item.clone()).unwrap();
        let file: syn::File = syn::parse2(expanded).unwrap();
        assert_eq!(
            file.items.first().map(|item| quote!(#item).to_string()),
            Some(item.to_string())
        );
        let names: Vec<String> = file
            .items
            .iter()
            .filter_map(|item| match item {
                syn::Item::Fn(function) => Some(function.sig.ident.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(names, ["double", "main"]);
    }

    #[test]
    fn a_second_parameter_is_the_context() {
        let with = expand(
            TokenStream::new(),
            quote!(
                fn f(n: u64, c: &mut Context) {}
            ),
        )
        .unwrap();
        assert!(with.to_string().contains("TAKES_CONTEXT : bool = true"));
        let without = expand(
            TokenStream::new(),
            quote!(
                fn f(n: u64) {}
            ),
        )
        .unwrap();
        assert!(without.to_string().contains("TAKES_CONTEXT : bool = false"));
    }

    #[test]
    fn a_shared_reference_is_the_value_that_all_tasks_have() {
        let expanded =
            |source: &str| expand(TokenStream::new(), source.parse().unwrap()).unwrap().to_string();
        let with = expanded("fn f(n: u64, m: &Model) {}");
        assert!(with.contains("TAKES_VALUE : bool = true"), "{with}");
        assert!(with.contains("Given :: < Model >"), "{with}");
        assert!(with.contains("TAKES_CONTEXT : bool = false"), "{with}");
        let both = expanded("fn f(n: u64, m: &[u8], c: &mut Context) {}");
        assert!(both.contains("TAKES_VALUE : bool = true"), "{both}");
        assert!(both.contains("TAKES_CONTEXT : bool = true"), "{both}");
        assert!(!expanded("fn f(n: u64) {}").contains("Given"));
    }

    #[test]
    fn what_cannot_be_a_task_is_told_why() {
        for (source, reason) in [
            ("struct S;", "stands on a function"),
            ("async fn f(n: u64) {}", "synchronous"),
            ("unsafe fn f(n: u64) {}", "safe function"),
            ("fn f<T>(n: T) {}", "not generic"),
            ("fn f<const N: usize>(n: [u8; N]) {}", "not generic"),
            ("fn main(n: u64) {}", "another name"),
            ("fn f() {}", "`_: ()`"),
            ("fn f(a: u8, b: u8) {}", "`&mut wasmgrid::Context`"),
            ("fn f(a: u8, b: Context) {}", "`&mut wasmgrid::Context`"),
            ("fn f(a: u8, b: &mut Context, c: u8) {}", "struct or a tuple"),
            ("fn f(a: u8, b: &mut Context, c: &M) {}", "in this order"),
            ("fn f(a: u8, b: &M, c: &M) {}", "in this order"),
            ("fn f(a: u8, b: &M, c: &mut Context, d: u8) {}", "struct or a tuple"),
            ("fn f(&self) {}", "not a method"),
        ] {
            let message = refusal(source);
            assert!(message.contains(reason), "{source}: {message}");
        }
    }

    #[test]
    fn arguments_of_the_attribute_are_refused() {
        let error = expand(
            quote!(retries = 3),
            quote!(
                fn f(n: u64) {}
            ),
        )
        .unwrap_err();
        assert!(error.to_string().contains("no arguments"), "{error}");
    }

    #[test]
    fn lifetimes_are_not_generics() {
        expand(
            TokenStream::new(),
            quote!(
                fn f<'a>(s: &'a str) -> &'a str {
                    s
                }
            ),
        )
        .unwrap();
    }
}
