//! Takes, lists, gives back and deletes a user's documents.

use std::time::Duration;

use actix_web::http::header::{self, ContentDisposition, DispositionParam, DispositionType, ExtendedValue};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, body::SizedStream, web};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use sessile_actors::ids::DocumentId;
use sessile_actors::limits::Limits;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use super::response::Cutter;
use super::threads::within_rate;
use super::transfers::{Place, Transfers};
use super::{Caller, Problem, RETRY_AFTER, State};
use crate::store::{DocumentError, document_name};

/// Bytes of a document that are handed to its socket at once: that much of it is there twice.
const PIECE_BYTES: usize = 64 * 1024;

/// What an upload says of itself.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    name: String,
}

/// How much of a list is read.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Newest {
    limit: Option<usize>,
}

/// `POST /v1/documents?name=NAME`, its text as the body: what is known of the new document.
pub(super) async fn upload(
    caller: Caller,
    state: web::Data<State>,
    transfers: web::Data<Transfers>,
    named: web::Query<Named>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let (user, limits) = (caller.0.user, &state.infra.limits);
    let name = document_name(&named.name).map_err(refused)?;
    let media_type = text_type(&request)?;
    let announced = announced_bytes(&request, limits)?;
    within_rate(&state, &user).await?;
    let place = transfers.enter(&user, limits)?;
    let most = limits.document_bytes;
    let content = timeout(limits.document_transfer_time, receive(payload, announced, most)).await;
    let content = content.map_err(|_| Problem::timed_out(too_slow(limits.document_transfer_time)))??;
    let put = state.documents.put(&user, name, media_type, content);
    // A client that goes away ends its request, not the writing: the place is taken until the text is out of memory.
    let kept = actix_rt::spawn(async move {
        let _place = place;
        put.await
    });
    let kept = kept.await.map_err(|_| Problem::internal())?;
    Ok(HttpResponse::Created().json(kept.map_err(refused)?))
}

/// `GET /v1/documents?limit`: `{documents}`, newest first.
pub(super) async fn list(
    caller: Caller,
    state: web::Data<State>,
    newest: web::Query<Newest>,
) -> Result<HttpResponse, Problem> {
    let limits = &state.infra.limits;
    let most = limits.documents_per_user.max(1);
    let limit = newest.limit.unwrap_or(limits.history_page).clamp(1, most);
    let documents = state.documents.list(&caller.0.user, limit).await.map_err(refused)?;
    Ok(HttpResponse::Ok().json(serde_json::json!({ "documents": documents })))
}

/// `GET /v1/documents/{id}`: what is known of it.
pub(super) async fn info(
    caller: Caller,
    state: web::Data<State>,
    id: web::Path<DocumentId>,
) -> Result<HttpResponse, Problem> {
    let info = state.documents.info(&caller.0.user, id.into_inner()).await;
    Ok(HttpResponse::Ok().json(info.map_err(refused)?))
}

/// `GET /v1/documents/{id}/content`: its text, as a file to be saved.
pub(super) async fn content(
    caller: Caller,
    state: web::Data<State>,
    transfers: web::Data<Transfers>,
    id: web::Path<DocumentId>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (user, limits) = (caller.0.user, &state.infra.limits);
    let place = transfers.enter(&user, limits)?;
    let deadline = Instant::now() + limits.document_transfer_time;
    let (info, content) = state.documents.read(&user, id.into_inner()).await.map_err(refused)?;
    let disposition = ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![DispositionParam::FilenameExt(ExtendedValue {
            charset: header::Charset::Ext("UTF-8".to_owned()),
            language_tag: None,
            value: info.name.into_bytes(),
        })],
    };
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, format!("{}; charset=utf-8", info.media_type)))
        .insert_header(disposition)
        // It is a user's text, whatever it calls itself: no page of ours.
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"))
        .insert_header((header::CACHE_CONTROL, "private, no-store"))
        .body(SizedStream::new(
            info.bytes,
            pieces(content, place, cut_at(deadline, request.conn_data().cloned())),
        )))
}

/// `DELETE /v1/documents/{id}`.
pub(super) async fn delete(
    caller: Caller,
    state: web::Data<State>,
    id: web::Path<DocumentId>,
) -> Result<HttpResponse, Problem> {
    within_rate(&state, &caller.0.user).await?;
    let deleted = state.documents.delete(&caller.0.user, id.into_inner()).await;
    deleted.map_err(refused)?;
    Ok(HttpResponse::NoContent().finish())
}

/// The media type without its parameters, where it is one of text.
fn text_type(request: &HttpRequest) -> Result<String, Problem> {
    let told = request.mime_type().ok().flatten();
    let Some(told) = told else {
        return Err(Problem::unsupported(
            "say what it is by Content-Type, such as text/csv, application/json or text/plain",
        ));
    };
    let charset = told.get_param("charset");
    if charset.is_some_and(|charset| charset != "utf-8") {
        return Err(Problem::unsupported("send the document in UTF-8"));
    }
    let is_text = told.type_() == "text"
        || told.suffix().is_some_and(|suffix| suffix == "json")
        || (told.type_() == "application" && ["json", "csv", "x-ndjson"].contains(&told.subtype().as_str()));
    if !is_text {
        return Err(Problem::unsupported(
            "only text can be read here: send text/csv, application/json, text/markdown or another text type",
        ));
    }
    Ok(told.essence_str().to_ascii_lowercase())
}

/// How long the body says it is; none where it does not say. Refused before a byte of it is read.
fn announced_bytes(request: &HttpRequest, limits: &Limits) -> Result<Option<usize>, Problem> {
    let told = request.headers().get(header::CONTENT_LENGTH);
    let Some(told) = told.and_then(|told| told.to_str().ok()) else {
        return Ok(None);
    };
    let most = limits.document_bytes;
    // More digits than a number has are more bytes than a document has.
    match told.trim().parse::<usize>() {
        Ok(bytes) if bytes <= most => Ok(Some(bytes)),
        Ok(_) | Err(_) => Err(too_large(most)),
    }
}

/// Reads the body once, into memory that is there from the beginning: it is never copied into a longer one.
async fn receive(mut payload: web::Payload, announced: Option<usize>, most: usize) -> Result<Bytes, Problem> {
    // Where nothing is announced, the most that there may be: memory that nothing is written into costs none.
    let mut content = BytesMut::with_capacity(announced.unwrap_or(most));
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|_| Problem::bad_request("the body was cut off; send it again"))?;
        if content.len() + piece.len() > most {
            return Err(too_large(most));
        }
        content.extend_from_slice(&piece);
    }
    Ok(content.freeze())
}

/// The text piece by piece, as the socket takes it. Its place is given back with the last piece, or when the connection ends.
fn pieces(
    content: Bytes,
    place: Place,
    cutting: AbortOnDropHandle<()>,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + 'static {
    stream::unfold((content, place, cutting), |(mut rest, place, cutting)| async move {
        let piece = rest.split_to(PIECE_BYTES.min(rest.len()));
        (!piece.is_empty()).then_some((Ok(piece), (rest, place, cutting)))
    })
}

/// Cuts the connection at the deadline, unless what comes back is dropped before. A response can't do it by itself: it is not
/// asked for more while its client reads nothing.
fn cut_at(deadline: Instant, cutter: Option<Cutter>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(actix_rt::spawn(async move {
        sleep_until(deadline).await;
        if let Some(cutter) = cutter {
            cutter.cut();
        }
    }))
}

fn too_slow(limit: Duration) -> String {
    let seconds = limit.as_secs();
    format!("a document has {seconds} seconds to arrive; send a smaller one, or over a faster connection")
}

fn too_large(most: usize) -> Problem {
    Problem::too_large(format!("a document has at most {most} bytes"))
}

fn refused(error: DocumentError) -> Problem {
    match error {
        DocumentError::NotFound => Problem::not_found("there is no such document"),
        DocumentError::BadName | DocumentError::Empty => Problem::bad_request(error.to_string()),
        DocumentError::NotText => Problem::unsupported(error.to_string()),
        DocumentError::TooLarge { most, .. } => too_large(most),
        DocumentError::QuotaExceeded { .. } | DocumentError::TooMany { .. } => {
            Problem::quota_exceeded(error.to_string())
        }
        DocumentError::Unavailable(cause) => {
            warn!(cause, "the document store is unavailable");
            Problem::unavailable("documents can't be reached now; try again", RETRY_AFTER)
        }
    }
}
