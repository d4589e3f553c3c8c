//! Reduces HTML to what a reader sees: title, text and links. Made for models to read, not for browsers to show.
//!
//! One pass, no tree: what is never closed or wrongly nested costs nothing but some line breaks.

use reqwest::Url;
use serde::Serialize;

/// Links of a page that are told. Beyond: left out.
const LINKS: usize = 50;

/// Words of a link, and the title, in bytes. Beyond: cut.
const LABEL_BYTES: usize = 200;

/// The address of a link, in bytes. A longer one is left out.
const LINK_BYTES: usize = 1000;

/// Elements whose contents nobody reads.
const UNREAD: [&str; 7] = ["script", "style", "template", "svg", "math", "iframe", "object"];

/// Elements that begin a new line.
const BLOCKS: [&str; 30] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "hr",
    "li",
    "main",
    "nav",
    "ol",
    "option",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "tr",
    "ul",
    "body",
    "caption",
];

/// References to characters that pages use most.
const CHARACTERS: [(&str, char); 24] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("copy", '©'),
    ("reg", '®'),
    ("trade", '™'),
    ("hellip", '…'),
    ("mdash", '—'),
    ("ndash", '–'),
    ("lsquo", '‘'),
    ("rsquo", '’'),
    ("ldquo", '“'),
    ("rdquo", '”'),
    ("laquo", '«'),
    ("raquo", '»'),
    ("euro", '€'),
    ("pound", '£'),
    ("bull", '•'),
    ("middot", '·'),
    ("times", '×'),
    ("deg", '°'),
];

/// The longest reference to a character, in bytes: `&` and what follows it.
const REFERENCE_BYTES: usize = 12;

/// What a reader sees of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) title: Option<String>,
    pub(super) text: String,
    pub(super) links: Vec<Link>,
}

/// Where a page leads.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Link {
    text: String,
    url: String,
}

/// Reduces a page that was fetched from `base`.
pub(super) fn reduce(html: &str, base: &Url) -> Page {
    let mut writer = Writer::default();
    let mut page = Page::default();
    // The link that is open: where it leads, and where its words begin.
    let mut open: Option<(String, usize)> = None;
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        writer.text(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = after(comment, "-->");
            continue;
        }
        if rest.starts_with("<!") || rest.starts_with("<?") {
            rest = after(rest, ">");
            continue;
        }
        let Some((tag, behind)) = Tag::read(rest) else {
            writer.text("<");
            rest = &rest[1..];
            continue;
        };
        rest = behind;
        let name = tag.name.as_str();
        if tag.is_end {
            match name {
                "a" => page
                    .links
                    .extend(open.take().and_then(|open| link(open, &writer, base))),
                "pre" => writer.verbatim = false,
                _ => {}
            }
        } else if name == "title" || UNREAD.contains(&name) {
            let (inner, behind) = until_end(rest, name);
            rest = behind;
            if name == "title" && page.title.is_none() {
                let mut title = Writer::default();
                title.text(inner);
                page.title = Some(cut(title.finish(), LABEL_BYTES)).filter(|title| !title.is_empty());
            }
        }
        if BLOCKS.contains(&name) || is_heading(name) {
            writer.line();
        }
        match (tag.is_end, name) {
            (false, "li") => writer.mark("- "),
            (false, "td" | "th") => writer.text(" "),
            (false, "pre") => writer.verbatim = true,
            (false, "a") => open = tag.href.map(|href| (href, writer.out.len())),
            (false, name) if is_heading(name) => writer.mark("# "),
            _ => {}
        }
        page.links.truncate(LINKS);
    }
    writer.text(rest);
    page.text = writer.finish();
    page
}

fn is_heading(name: &str) -> bool {
    matches!(name, "h1" | "h2" | "h3" | "h4" | "h5" | "h6")
}

fn link((href, from): (String, usize), writer: &Writer, base: &Url) -> Option<Link> {
    let mut url = base.join(href.trim()).ok()?;
    url.set_fragment(None);
    if !matches!(url.scheme(), "http" | "https") || url == *base || url.as_str().len() > LINK_BYTES {
        return None;
    }
    let words = writer.out.get(from..).unwrap_or_default();
    let text = cut(words.split_whitespace().collect::<Vec<_>>().join(" "), LABEL_BYTES);
    Some(Link { text, url: url.into() })
}

/// What stands behind `mark`; nothing where it is missing.
fn after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.find(mark).map_or("", |at| &text[at + mark.len()..])
}

/// What stands before the end tag of this name, and what behind it.
fn until_end<'a>(text: &'a str, name: &str) -> (&'a str, &'a str) {
    let bytes = text.as_bytes();
    let is_end = |at: usize| {
        bytes[at..].starts_with(b"</")
            && bytes
                .get(at + 2..at + 2 + name.len())
                .is_some_and(|there| there.eq_ignore_ascii_case(name.as_bytes()))
    };
    let mut ends = text.match_indices('<').map(|(at, _)| at);
    match ends.find(|at| is_end(*at)) {
        Some(at) => (&text[..at], after(&text[at..], ">")),
        None => (text, ""),
    }
}

/// Cuts at a character.
pub(super) fn cut(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

/// A start or end tag.
struct Tag {
    name: String,
    is_end: bool,
    href: Option<String>,
}

impl Tag {
    /// Reads the tag that `text` begins with; none where it is no tag.
    fn read(text: &str) -> Option<(Self, &str)> {
        let inner = text.strip_prefix('<')?;
        let (is_end, inner) = inner.strip_prefix('/').map_or((false, inner), |inner| (true, inner));
        if !inner.starts_with(|letter: char| letter.is_ascii_alphabetic()) {
            return None;
        }
        let is_over = |letter: char| letter.is_whitespace() || matches!(letter, '/' | '>');
        let end = inner.find(is_over).unwrap_or(inner.len());
        let (name, mut rest) = inner.split_at(end);
        let mut href = None;
        loop {
            rest = rest.trim_start_matches(|letter: char| letter.is_whitespace() || letter == '/');
            if let Some(behind) = rest.strip_prefix('>') {
                rest = behind;
                break;
            }
            if rest.is_empty() {
                break;
            }
            let (attribute, value, behind) = attribute(rest);
            if href.is_none() && attribute.eq_ignore_ascii_case("href") {
                let mut text = String::new();
                decode(value, |letter| text.push(letter));
                href = Some(text);
            }
            rest = behind;
        }
        let name = name.to_ascii_lowercase();
        Some((Self { name, is_end, href }, rest))
    }
}

/// The name and the value of the attribute that `text` begins with, and what follows it: at least one letter less.
fn attribute(text: &str) -> (&str, &str, &str) {
    let is_over = |letter: char| letter.is_whitespace() || matches!(letter, '=' | '>' | '/');
    let first = text.chars().next().map_or(0, char::len_utf8);
    let end = text[first..].find(is_over).map_or(text.len(), |at| at + first);
    let (name, rest) = text.split_at(end);
    let Some(value) = rest.trim_start().strip_prefix('=') else {
        return (name, "", rest);
    };
    let value = value.trim_start();
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            return match quoted.split_once(quote) {
                Some((value, rest)) => (name, value, rest),
                None => (name, quoted, ""),
            };
        }
    }
    let end = value.find(|letter: char| letter.is_whitespace() || letter == '>');
    let (value, rest) = value.split_at(end.unwrap_or(value.len()));
    (name, value, rest)
}

/// Tells the characters of a text, with what stands for others replaced.
fn decode(text: &str, mut tell: impl FnMut(char)) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        rest[..at].chars().for_each(&mut tell);
        rest = &rest[at + 1..];
        let head = &rest[..rest.floor_char_boundary(REFERENCE_BYTES)];
        let meant = head
            .split_once(';')
            .and_then(|(name, _)| Some((character(name)?, name.len() + 1)));
        match meant {
            Some((letter, length)) => {
                tell(letter);
                rest = &rest[length..];
            }
            None => tell('&'),
        }
    }
    rest.chars().for_each(&mut tell);
}

fn character(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let number = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(number);
    }
    CHARACTERS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, letter)| *letter)
}

/// Writes text as a reader sees it: one space between words, one empty line at most between lines.
#[derive(Default)]
struct Writer {
    out: String,
    /// Whether spaces and line breaks stand as they are.
    verbatim: bool,
    /// Whether a space comes before the next word.
    space: bool,
}

impl Writer {
    fn text(&mut self, text: &str) {
        decode(text, |letter| self.letter(letter));
    }

    fn letter(&mut self, letter: char) {
        if self.verbatim && matches!(letter, '\n' | '\t' | ' ') {
            self.out.push(letter);
        } else if letter.is_whitespace() {
            self.space = true;
        } else if !letter.is_control() {
            let at_start = self.out.is_empty() || self.out.ends_with(['\n', ' ']);
            if std::mem::take(&mut self.space) && !at_start {
                self.out.push(' ');
            }
            self.out.push(letter);
        }
    }

    /// Ends the line, where it holds something.
    fn line(&mut self) {
        self.space = false;
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
    }

    /// Writes what begins a line.
    fn mark(&mut self, mark: &str) {
        self.out.push_str(mark);
        self.space = false;
    }

    fn finish(self) -> String {
        let text = self.out.trim();
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduced(html: &str) -> Page {
        reduce(html, &"https://example.org/a/page".parse().unwrap())
    }

    #[test]
    fn a_page_becomes_its_title_its_text_and_its_links() {
        let page = reduced(
            "<!DOCTYPE html><html><head><title>A &amp; B</title><style>p{}</style><script>if (a<b) alert('</p>')</script>\
             </head><body><h1>Head</h1><p>One\n two &#8364; &#x41;<br>three</p><!-- <p>no</p> --><ul><li>x<li>y</ul>\
             <a class=k href='../b?c=1&amp;d=2#part'>to <b>b</b></a> <a href=\"javascript:alert(1)\">no</a>\
             <a href=mailto:a@b.c>no</a><a href=\"#top\">no</a></body></html>",
        );
        assert_eq!(page.title.as_deref(), Some("A & B"));
        assert_eq!(page.text, "# Head\nOne two € A\nthree\n- x\n- y\nto b nonono");
        let link = Link {
            text: "to b".to_owned(),
            url: "https://example.org/b?c=1&d=2".to_owned(),
        };
        assert_eq!(page.links, [link]);
    }

    #[test]
    fn what_is_broken_is_read_as_far_as_it_goes() {
        assert_eq!(reduced("a < b && c > d").text, "a < b && c > d");
        assert_eq!(reduced("x<p class=\"never closed>y").text, "x");
        assert_eq!(reduced("x<script>y").text, "x");
        assert_eq!(reduced("x<!-- y").text, "x");
        assert_eq!(
            reduced("&#xD800; &nosuch; &#99999999999;").text,
            "&#xD800; &nosuch; &#99999999999;"
        );
        assert_eq!(reduced("<pre>a\n  b</pre>c").text, "a\n  b\nc");
        assert_eq!(reduced("").text, "");
    }

    #[test]
    fn many_links_are_cut_and_their_words_too() {
        let html: String = (0..LINKS + 10)
            .map(|n| format!("<a href=/{n}>{}</a>", "ä".repeat(200)))
            .collect();
        let page = reduced(&html);
        assert_eq!(page.links.len(), LINKS);
        assert!(page.links.iter().all(|link| link.text.len() <= LABEL_BYTES));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(html in "[<>/a-c&#;x0-9 =\"'!é-]{0,200}") {
            let _ = reduced(&html);
        }
    }
}
