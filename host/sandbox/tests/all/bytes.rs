//! Modules and components made of bytes, for what a text would take too long to say.

/// `number` in LEB128.
pub fn leb(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// `bytes` behind their length.
pub fn sized(bytes: &[u8]) -> Vec<u8> {
    [leb(bytes.len() as u64), bytes.to_vec()].concat()
}

/// `count` times the same item, behind their number.
pub fn repeated(count: u64, item: &[u8]) -> Vec<u8> {
    [leb(count), item.repeat(usize::try_from(count).expect("fits"))].concat()
}

/// Items behind their number.
pub fn vector(items: &[Vec<u8>]) -> Vec<u8> {
    [leb(items.len() as u64), items.concat()].concat()
}

/// A section of a module or component.
pub fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [vec![id], sized(contents)].concat()
}

/// A core module of these sections.
pub fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat()
}

/// A component of these sections.
pub fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0".to_vec(), sections.concat()].concat()
}

/// Sections of core modules.
pub const TYPES: u8 = 1;
pub const IMPORTS: u8 = 2;
pub const FUNCTIONS: u8 = 3;
pub const TABLES: u8 = 4;
pub const MEMORIES: u8 = 5;
pub const GLOBALS: u8 = 6;
pub const EXPORTS: u8 = 7;
pub const ELEMENTS: u8 = 9;
pub const CODE: u8 = 10;
pub const DATA: u8 = 11;

/// Sections of components.
pub const CORE_MODULE: u8 = 1;
pub const CORE_INSTANCES: u8 = 2;
pub const CORE_TYPES: u8 = 3;
pub const COMPONENT: u8 = 4;
pub const INSTANCES: u8 = 5;
pub const ALIASES: u8 = 6;
pub const COMPONENT_TYPES: u8 = 7;

/// A section for tools.
pub const CUSTOM: u8 = 0;

/// The type `() -> ()`.
pub const NOTHING: [u8; 3] = [0x60, 0, 0];

/// A command whose `_start` is the last of `bodies`, which are of the type `() -> ()`; `before` and
/// `after` are the sections before its functions and behind its code.
pub fn command(bodies: &[Vec<u8>], before: &[Vec<u8>], after: &[Vec<u8>]) -> Vec<u8> {
    let count = bodies.len() as u64;
    let start = [sized(b"_start"), vec![0], leb(count - 1)].concat();
    let sized_bodies: Vec<_> = bodies.iter().map(|body| sized(body)).collect();
    module(&[
        section(TYPES, &repeated(1, &NOTHING)),
        section(FUNCTIONS, &repeated(count, &[0])),
        before.concat(),
        section(EXPORTS, &vector(&[start])),
        section(CODE, &vector(&sized_bodies)),
        after.concat(),
    ])
}

/// A body with so many locals of one type.
pub fn locals(count: u64) -> Vec<u8> {
    [vec![1], leb(count), vec![0x7f, 0x0b]].concat()
}

/// A body without locals.
pub fn body(operators: &[u8]) -> Vec<u8> {
    [&[0], operators, &[0x0b]].concat()
}
