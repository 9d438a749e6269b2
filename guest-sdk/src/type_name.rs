//! Names of types as people say them: without the paths to their modules, and without lifetimes.

/// `Vec<Point>` for a type that the compiler calls `alloc::vec::Vec<my_task::Point>`.
pub(crate) fn plain<T: ?Sized>() -> String {
    without_paths(std::any::type_name::<T>()).replace("<'_>", "")
}

fn without_paths(full: &str) -> String {
    let mut plain = String::with_capacity(full.len());
    let mut rest = full;
    while let Some(at) = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        let (path, tail) = rest.split_at(at);
        plain.push_str(last_segment(path));
        let mut characters = tail.chars();
        plain.extend(characters.next());
        rest = characters.as_str();
    }
    plain.push_str(last_segment(rest));
    plain
}

fn last_segment(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_paths_and_nothing_else() {
        assert_eq!(plain::<u64>(), "u64");
        assert_eq!(plain::<Vec<Option<String>>>(), "Vec<Option<String>>");
        assert_eq!(plain::<(u8, &str, [f64; 3])>(), "(u8, &str, [f64; 3])");
        assert_eq!(without_paths("a::b::Map<c::K, d::e::V>"), "Map<K, V>");
    }
}
