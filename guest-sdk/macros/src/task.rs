//! From a function to a task: checks that it can be one, and writes the glue.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Result, Type};

use crate::signature::{Parameter, Signature};

/// The item that the attribute stands on, with a task and a `main` beside it; where it cannot be a task,
/// or `check` refuses it, with the reason as an error of the compiler, and no further one.
pub fn expand(
    arguments: TokenStream,
    item: TokenStream,
    check: impl FnOnce(&Ident) -> Result<()>,
) -> TokenStream {
    let (error, needs_main) = match task_of(arguments, item.clone()) {
        Err(error) => (error, !is_main(&item)),
        Ok(signature) => match check(&signature.ident) {
            Ok(()) => return written(&item, &signature).unwrap_or_else(Error::into_compile_error),
            // There is one of the first task.
            Err(error) => (error, false),
        },
    };
    let error = error.to_compile_error();
    let main = needs_main.then(|| {
        quote!(
            fn main() {}
        )
    });
    quote!(#item #error #main)
}

fn task_of(arguments: TokenStream, item: TokenStream) -> Result<Signature> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[wasmgrid::task]` takes no arguments"));
    }
    let signature: Signature = syn::parse2(item).map_err(|error| {
        Error::new(
            error.span(),
            "`#[wasmgrid::task]` stands on a function: `fn name(input: T) -> U`",
        )
    })?;
    check(&signature)?;
    parameters(&signature)?;
    Ok(signature)
}

/// Whether an item that is no task is the program's `main`.
fn is_main(item: &TokenStream) -> bool {
    syn::parse2::<Signature>(item.clone()).is_ok_and(|signature| signature.ident == "main")
}

fn check(signature: &Signature) -> Result<()> {
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

fn parameters(signature: &Signature) -> Result<Parameters<'_>> {
    let kinds = signature.inputs.iter().map(|parameter| match parameter {
        Parameter::Typed(kind) => Ok(&**kind),
        Parameter::Receiver(_) => {
            Err(Error::new(signature.inputs.span(), "a task is a function, not a method"))
        }
    });
    let kinds = kinds.collect::<Result<Vec<_>>>()?;
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
        [] => Err(Error::new(signature.ident.span(), "a task takes its input")),
    }
}

fn written(function: &TokenStream, signature: &Signature) -> Result<TokenStream> {
    let name = &signature.ident;
    let Parameters { input, value, takes_context } = parameters(signature)?;
    let takes_value = value.is_some();
    let value_argument = takes_value.then(|| quote!(, &__given));
    let context = takes_context.then(|| quote!(, __context));
    let output = signature.output.span();
    // Locals have names that no task has, or they would hide it. And where a type does not fit, the spans
    // make the compiler point at it and not at the attribute.
    let decode = quote_spanned!(input.span()=> ::wasmgrid::__private::Argument::<#input>::new().decode(__input)?);
    let take = value.map(|value| {
        quote_spanned!(value.span()=> let __given = ::wasmgrid::__private::Given::<#value>::new().decode(__value)?;)
    });
    let encode = quote_spanned!(output=> ::wasmgrid::__private::Value(__value).encode());
    let fail = quote_spanned!(output=> ::wasmgrid::__private::Failed(__error).error());
    Ok(quote! {
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
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(source: &str) -> String {
        let item = source.parse().unwrap();
        task_of(TokenStream::new(), item).err().unwrap().to_string()
    }

    /// What becomes of the one task of a crate.
    fn expanded(item: TokenStream) -> TokenStream {
        expand(TokenStream::new(), item, |_| Ok(()))
    }

    /// The functions there are.
    fn functions(expanded: TokenStream) -> Vec<String> {
        let words: Vec<_> = expanded.into_iter().map(|token| token.to_string()).collect();
        let named = words.windows(2).filter(|words| words[0] == "fn");
        named.map(|words| words[1].clone()).collect()
    }

    #[test]
    fn a_function_stays_and_gains_a_task_and_a_main() {
        let item = quote!(
            fn double(n: u64) -> u64 {
                2 * n
            }
        );
        let expanded = expanded(item.clone());
        assert!(expanded.to_string().starts_with(&item.to_string()));
        assert_eq!(functions(expanded), ["double", "main"]);
    }

    #[test]
    fn what_is_refused_leaves_one_error() {
        let item = |source: &str| source.parse::<TokenStream>().unwrap();
        let wrong = expanded(item("async fn f(n: u64) {}"));
        assert_eq!(wrong.to_string().matches("compile_error").count(), 1);
        assert_eq!(functions(wrong), ["f", "main"]);
        assert_eq!(functions(expanded(item("fn main(n: u64) {}"))), ["main"]);
        let second = |task: &Ident| Err(Error::new(task.span(), "a second one"));
        let refused = expand(TokenStream::new(), item("fn g(n: u64) {}"), second);
        assert!(refused.to_string().contains("a second one"), "{refused}");
        assert_eq!(functions(refused), ["g"]);
    }

    #[test]
    fn a_second_parameter_is_the_context() {
        let with = expanded(quote!(
            fn f(n: u64, c: &mut Context) {}
        ));
        assert!(with.to_string().contains("TAKES_CONTEXT : bool = true"));
        let without = expanded(quote!(
            fn f(n: u64) {}
        ));
        assert!(without.to_string().contains("TAKES_CONTEXT : bool = false"));
    }

    #[test]
    fn a_shared_reference_is_the_value_that_all_tasks_have() {
        let expanded = |source: &str| expanded(source.parse().unwrap()).to_string();
        let with = expanded("fn f(n: u64, m: &Model) {}");
        assert!(with.contains("TAKES_VALUE : bool = true"), "{with}");
        assert!(with.contains("Given :: < Model >"), "{with}");
        assert!(with.contains("TAKES_CONTEXT : bool = false"), "{with}");
        let both = expanded("fn f(n: u64, m: &[u8], c: &mut Context) {}");
        assert!(both.contains("TAKES_VALUE : bool = true"), "{both}");
        assert!(both.contains("TAKES_CONTEXT : bool = true"), "{both}");
        assert!(!expanded("fn f(n: u64) {}").contains(":: Given ::"));
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
        let error = task_of(
            quote!(retries = 3),
            quote!(
                fn f(n: u64) {}
            ),
        )
        .err()
        .unwrap();
        assert!(error.to_string().contains("no arguments"), "{error}");
    }

    #[test]
    fn lifetimes_are_not_generics() {
        task_of(
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
