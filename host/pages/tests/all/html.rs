//! A page as a browser reads it: a tree. And that it is well formed.

use std::collections::BTreeSet;

use html5ever::{parse_document, tendril::TendrilSink as _};
use markup5ever_rcdom::{Handle, NodeData, RcDom};

use crate::samples;

/// A page or fragment as a browser reads it.
pub struct Tree(RcDom);

impl Tree {
    /// A whole page.
    pub fn page(html: &str) -> Self {
        Self(parse_document(RcDom::default(), Default::default()).one(html))
    }

    /// What the parser found to be wrong.
    pub fn errors(&self) -> Vec<String> {
        self.0.errors.borrow().iter().map(ToString::to_string).collect()
    }

    /// All elements, in their order.
    pub fn elements(&self) -> Vec<Element> {
        let mut all = Vec::new();
        visit(&self.0.document, &mut all);
        all
    }

    /// The element with this id.
    pub fn by_id(&self, id: &str) -> Option<Element> {
        self.elements().into_iter().find(|element| element.get("id").as_deref() == Some(id))
    }

    /// All text.
    pub fn text(&self) -> String {
        text(&self.0.document)
    }
}

fn visit(node: &Handle, all: &mut Vec<Element>) {
    if matches!(node.data, NodeData::Element { .. }) {
        all.push(Element(node.clone()));
    }
    for child in node.children.borrow().iter() {
        visit(child, all);
    }
}

fn text(node: &Handle) -> String {
    let own = match &node.data {
        NodeData::Text { contents } => contents.borrow().to_string(),
        _ => String::new(),
    };
    node.children.borrow().iter().fold(own, |all, child| all + &text(child))
}

/// An element of a page.
pub struct Element(Handle);

impl Element {
    /// Its name.
    pub fn name(&self) -> String {
        match &self.0.data {
            NodeData::Element { name, .. } => name.local.to_string(),
            _ => String::new(),
        }
    }

    /// Its attributes.
    pub fn attributes(&self) -> Vec<(String, String)> {
        match &self.0.data {
            NodeData::Element { attrs, .. } => attrs
                .borrow()
                .iter()
                .map(|attr| (attr.name.local.to_string(), attr.value.to_string()))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<String> {
        self.attributes().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// All elements in it and itself.
    pub fn within(&self) -> Vec<Self> {
        let mut all = Vec::new();
        visit(&self.0, &mut all);
        all
    }

    /// All text in it.
    pub fn text(&self) -> String {
        text(&self.0)
    }
}

/// Every page with its name.
pub fn all() -> Vec<(&'static str, String)> {
    let pages = samples::pages().into_iter().map(|(name, shell, page)| (name, page.html(&shell)));
    let doors = samples::doors().into_iter().map(|(name, door)| (name, door.html()));
    pages.chain(doors).collect()
}

#[test]
fn every_page_is_well_formed() {
    for (name, html) in all() {
        let tree = Tree::page(&html);
        assert_eq!(tree.errors(), Vec::<String>::new(), "{name}");
        let mut ids = BTreeSet::new();
        for id in tree.elements().iter().filter_map(|element| element.get("id")) {
            assert!(ids.insert(id.clone()), "{name}: {id} twice");
        }
        let headings = tree.elements().into_iter().filter(|element| element.name() == "h1");
        assert_eq!(headings.count(), 1, "{name} has one heading that it is about");
    }
}

#[test]
fn symbols_fields_and_pictures_say_what_they_are() {
    for (name, html) in all() {
        let tree = Tree::page(&html);
        let elements = tree.elements();
        let ids: BTreeSet<_> = elements.iter().filter_map(|element| element.get("id")).collect();
        for element in &elements {
            if let Some(symbol) = element.get("href").filter(|_| element.name() == "use") {
                assert!(ids.contains(symbol.trim_start_matches('#')), "{name}: {symbol}");
            }
            let is_drawing = element.name() == "svg";
            let says = element.get("aria-label").is_some() || element.get("aria-hidden").is_some();
            assert!(!is_drawing || says, "{name}: a drawing without words");
            let is_picture = element.name() == "img";
            assert!(!is_picture || element.get("alt").is_some(), "{name}: a picture without words");
        }
        assert!(elements.iter().any(|element| element.get("lang").as_deref() == Some("en")));
    }
}
