//! Serves the page: from the binary, or from a folder while it is worked on.

use std::path::{Path, PathBuf};

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use rust_embed::RustEmbed;
use tracing::warn;

use super::Problem;

/// What a page may load: its own files and its own socket. Nothing inline, nobody may frame it.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// The files of the page.
#[derive(RustEmbed)]
#[folder = "src/web/"]
struct Assets;

/// Where the page's files come from: a folder, read anew for each request; none: the binary.
#[derive(Debug, Clone, Default)]
pub(super) struct PageSource(pub(super) Option<PathBuf>);

impl PageSource {
    /// The file of this name. The route lets through plain names alone, so it is one of the folder itself. A name that begins with
    /// a dot is none of the page: such files hold what their owner keeps for itself, as `.env` does.
    async fn file(&self, name: &str) -> Option<Vec<u8>> {
        if name.starts_with('.') {
            return None;
        }
        match &self.0 {
            Some(folder) => read(folder, name).await,
            None => Some(Assets::get(name)?.data.into_owned()),
        }
    }
}

async fn read(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let path = folder.join(name);
    match tokio::fs::read(&path).await {
        Ok(file) => Some(file),
        Err(fault) => {
            warn!(path = %path.display(), %fault, "a file of the page can't be read");
            None
        }
    }
}

/// `GET /` and `GET /{asset}`.
pub(super) async fn asset(name: web::Path<String>, source: web::Data<PageSource>) -> Result<HttpResponse, Problem> {
    let name = if name.is_empty() { "index.html" } else { name.as_str() };
    let file = source.file(name).await.ok_or_else(super::nowhere)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type(name)))
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        // Revalidated each time: a new binary has a new page.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(file))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.') {
        Some((_, "html")) => "text/html; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn a_folder_is_read_anew_each_time_and_nothing_outside_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("page");
        std::fs::create_dir(&folder).unwrap();
        let source = PageSource(Some(folder.clone()));
        for words in ["before", "after"] {
            std::fs::write(folder.join("index.html"), words).unwrap();
            assert_eq!(source.file("index.html").await.unwrap(), words.as_bytes());
        }
        std::fs::write(folder.join(".env"), "hidden").unwrap();
        for nowhere in ["app.js", "..", ".", ".env"] {
            assert_eq!(source.file(nowhere).await, None, "{nowhere}");
        }
    }

    #[actix_rt::test]
    async fn every_file_that_the_page_loads_is_built_in() {
        let source = PageSource::default();
        let mut waiting = vec!["index.html".to_owned()];
        let mut loaded = Vec::new();
        while let Some(name) = waiting.pop() {
            let file = source
                .file(&name)
                .await
                .unwrap_or_else(|| panic!("{name} is not there"));
            let text = String::from_utf8(file).unwrap();
            let words = text.split(|letter: char| !(letter.is_ascii_lowercase() || "./-".contains(letter)));
            let files = words.filter_map(|word| word.strip_prefix("./").or(word.strip_prefix('/')));
            let files = files.filter(|name| [".js", ".css", ".svg"].iter().any(|end| name.ends_with(end)));
            waiting.extend(
                files
                    .filter(|name| !loaded.iter().any(|known| known == name))
                    .map(str::to_owned),
            );
            loaded.push(name);
        }
        let unused: Vec<_> = Assets::iter()
            .filter(|name| !loaded.iter().any(|known| known == name))
            .collect();
        assert!(unused.is_empty(), "{unused:?}");
    }
}
