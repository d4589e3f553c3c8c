//! Serves the page that is built into the binary.

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use rust_embed::RustEmbed;

use super::Problem;

/// What a page may load: its own files and its own socket. Nothing inline, nobody may frame it.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// The files of the page.
#[derive(RustEmbed)]
#[folder = "src/web/"]
struct Assets;

/// `GET /` and `GET /{asset}`.
pub(super) async fn asset(name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let name = if name.is_empty() { "index.html" } else { name.as_str() };
    let file = Assets::get(name).ok_or_else(super::nowhere)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type(name)))
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        // Revalidated each time: a new binary has a new page.
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(file.data))
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
