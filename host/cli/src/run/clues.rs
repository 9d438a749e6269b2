//! What the words of a failed task tell beyond its outcome. They are those of the languages that tasks
//! are written in, so each is a hint and never more.

/// How runtimes say that memory could not be had: Rust, C++, Go and JavaScript, Python, C.
const NO_MEMORY: &[&str] = &[
    "memory allocation of",
    "memory allocation failed",
    "bad_alloc",
    "out of memory",
    "memoryerror",
    "cannot allocate memory",
];

/// How readers of JSON say that more comes behind a value: those of Rust, JavaScript and Python.
const SEVERAL_VALUES: &[&str] =
    &["trailing characters at line", "after json at", "after json data", "extra data: line"];

/// True where a task says that it lacked memory.
pub fn lacked_memory(said: &str) -> bool {
    has_any(said, NO_MEMORY)
}

/// How many bytes the allocation was of that failed, where Rust says so.
pub fn bytes_wanted(said: &str) -> Option<u64> {
    let (_, rest) = said.rsplit_once("memory allocation of ")?;
    rest.split_once(" bytes failed")?.0.parse().ok()
}

/// True where a task says that its input is one value of JSON and more behind that.
pub fn had_several_values(said: &str) -> bool {
    has_any(said, SEVERAL_VALUES)
}

fn has_any(said: &str, words: &[&str]) -> bool {
    let said = said.to_lowercase();
    words.iter().any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_has_its_words_for_a_lack_of_memory() {
        for said in [
            "memory allocation of 1073741824 bytes failed\n",
            "terminating due to uncaught exception of type std::bad_alloc",
            "fatal error: runtime: out of memory",
            "InternalError: out of memory",
            "    data = bytes(10**9)\nMemoryError\n",
        ] {
            assert!(lacked_memory(said), "{said}");
        }
        assert!(!lacked_memory("memory access out of bounds"));
        assert_eq!(bytes_wanted("x\nmemory allocation of 4096 bytes failed\n"), Some(4_096));
        assert_eq!(bytes_wanted("memory allocation of a map"), None);
    }

    #[test]
    fn several_values_are_told_from_one_that_is_wrong() {
        let serde = "input does not fit u64: trailing characters at line 2 column 1";
        let v8 = "SyntaxError: Unexpected non-whitespace character after JSON at position 2";
        let mozilla =
            "SyntaxError: JSON.parse: unexpected non-whitespace character after JSON data";
        let python = "json.decoder.JSONDecodeError: Extra data: line 2 column 1 (char 2)";
        for said in [serde, v8, mozilla, python] {
            assert!(had_several_values(said), "{said}");
        }
        assert!(!had_several_values("input does not fit u64: expected value at line 1 column 1"));
    }
}
