//! What a request brings to prove who is asking, and under which name it wants to speak.
//!
//! The first that is found wins: the `Authorization` header, the subprotocol list (where a browser's page can put a token),
//! the ticket of the query. A token in the query is refused: addresses are logged by everything that they pass.

use actix_http::header::{AUTHORIZATION, HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use actix_web::web::Query;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;

use super::AuthError;

/// The names that we speak, each with what its token begins with in the list.
const PROTOCOLS: [(&str, &str); 2] = [("sessile.v1", "bearer."), ("jwt-auth", "jwt.")];

/// Names under which clients put a token into the query.
const TOKEN_PARAMETERS: [&str; 3] = ["token", "access_token", "jwt"];

/// What proves who is asking.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A token of the `Authorization` header or of the subprotocol list.
    Token(SecretString),
    /// A ticket of the query.
    Ticket(SecretString),
}

/// What a request for a socket brings.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    /// The first proof that was found.
    pub proof: Option<Proof>,
    /// The subprotocol to answer with: a name, never a token. None where none was offered.
    pub protocol: Option<&'static str>,
}

impl Offer {
    /// Reads a request for a socket.
    ///
    /// # Errors
    /// `BadRequest` for a token in the query, a subprotocol list without a name of ours, or anything that stands twice.
    pub fn read(headers: &HeaderMap, query: &str) -> Result<Self, AuthError> {
        let ticket = read_query(query)?;
        let bearer = bearer(headers)?;
        let (protocol, listed) = subprotocol(headers)?;
        let proof = bearer.or(listed).map(Proof::Token).or(ticket.map(Proof::Ticket));
        Ok(Self { proof, protocol })
    }

    /// Reads any other request: a ticket opens a socket and nothing else, so it isn't looked for.
    ///
    /// # Errors
    /// `BadRequest` for a token in the query or two `Authorization` headers.
    pub fn read_plain(headers: &HeaderMap, query: &str) -> Result<Option<Proof>, AuthError> {
        read_query(query)?;
        Ok(bearer(headers)?.map(Proof::Token))
    }
}

fn bad(text: &str) -> AuthError {
    AuthError::BadRequest(text.to_owned())
}

fn read_query(query: &str) -> Result<Option<SecretString>, AuthError> {
    let pairs =
        Query::<Vec<(String, String)>>::from_query(query).map_err(|_| bad("the query can't be read: encode it"))?;
    let mut ticket = None;
    for (name, value) in pairs.into_inner() {
        if TOKEN_PARAMETERS
            .iter()
            .any(|parameter| name.eq_ignore_ascii_case(parameter))
        {
            return Err(bad(
                "a token must not stand in the query, where it is logged: send it in the Authorization header or the \
                 subprotocol list, or get a ticket with POST /v1/tickets",
            ));
        }
        if name == "ticket" && ticket.replace(SecretString::from(value)).is_some() {
            return Err(bad("the query has two tickets: send one"));
        }
    }
    Ok(ticket)
}

/// The token of the `Authorization` header. Another scheme than `Bearer` is for somebody else, such as a proxy.
fn bearer(headers: &HeaderMap) -> Result<Option<SecretString>, AuthError> {
    let mut all = headers.get_all(AUTHORIZATION);
    let (first, second) = (all.next(), all.next());
    if second.is_some() {
        return Err(bad("the header authorization stands twice: send it once"));
    }
    let Some(text) = first.map(|value| value.to_str()).transpose().ok().flatten() else {
        return Ok(None);
    };
    let (scheme, token) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    Ok(scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| SecretString::from(token.trim())))
}

/// The first name of ours in the list, and the token that comes with it.
fn subprotocol(headers: &HeaderMap) -> Result<(Option<&'static str>, Option<SecretString>), AuthError> {
    let mut offered = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        let text = value
            .to_str()
            .map_err(|_| bad("the subprotocol list is not ASCII: offer sessile.v1"))?;
        offered.extend(text.split(',').map(str::trim).filter(|name| !name.is_empty()));
    }
    if offered.is_empty() {
        return Ok((None, None));
    }
    let known = |name: &&str| PROTOCOLS.iter().find(|(ours, _)| ours == name);
    let Some((protocol, prefix)) = offered.iter().find_map(known) else {
        return Err(bad(
            "none of the offered subprotocols is spoken here: offer sessile.v1, or none",
        ));
    };
    let mut tokens = offered.iter().filter_map(|name| name.strip_prefix(prefix));
    let (first, second) = (tokens.next(), tokens.next());
    if second.is_some() {
        return Err(bad("the subprotocol list has two tokens: send one"));
    }
    let token = first.map(decode).transpose()?;
    Ok((Some(protocol), token))
}

fn decode(encoded: &str) -> Result<SecretString, AuthError> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('='));
    let token = bytes
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(SecretString::from);
    token.ok_or_else(|| bad("the token of the subprotocol list can't be read: encode it as base64url"))
}

#[cfg(test)]
mod tests {
    use actix_http::header::{HeaderName, HeaderValue};
    use secrecy::ExposeSecret;

    use super::*;

    const TOKEN: &str = "aaa.bbb.ccc";
    const ENCODED: &str = "YWFhLmJiYi5jY2M";

    fn headers(pairs: Headers<'_>) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    type Headers<'a> = &'a [(HeaderName, &'a str)];

    /// What is read, in short: the proof and the protocol.
    fn read(pairs: Headers<'_>, query: &str) -> Result<(String, Option<&'static str>), AuthError> {
        let offer = Offer::read(&headers(pairs), query)?;
        let proof = match offer.proof {
            None => "nothing".to_owned(),
            Some(Proof::Token(token)) => format!("token {}", token.expose_secret()),
            Some(Proof::Ticket(ticket)) => format!("ticket {}", ticket.expose_secret()),
        };
        Ok((proof, offer.protocol))
    }

    #[test]
    fn the_first_proof_wins_and_the_name_is_answered() {
        let (auth, list) = (AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL);
        let sessile = format!("sessile.v1, bearer.{ENCODED}");
        let seed = format!("jwt-auth,jwt.{ENCODED}");
        let padded = format!("bearer.{ENCODED}=,sessile.v1");
        let both = format!("graphql-ws, jwt-auth, sessile.v1, jwt.{ENCODED}");
        let token = format!("token {TOKEN}");
        let table: [(Headers, &str, &str, Option<&str>); 13] = [
            (&[], "", "nothing", None),
            (&[(list.clone(), "sessile.v1")], "", "nothing", Some("sessile.v1")),
            (&[(auth.clone(), "Bearer other")], "", "token other", None),
            (&[(auth.clone(), "bEARER  other ")], "", "token other", None),
            (&[(auth.clone(), "Bearer")], "", "token ", None),
            (&[(auth.clone(), "Basic eDp5")], "", "nothing", None),
            (&[(list.clone(), &sessile)], "", &token, Some("sessile.v1")),
            (&[(list.clone(), &seed)], "", &token, Some("jwt-auth")),
            (&[(list.clone(), &padded)], "", &token, Some("sessile.v1")),
            (&[(list.clone(), &both)], "", &token, Some("jwt-auth")),
            (
                &[(auth.clone(), "Bearer other"), (list.clone(), &sessile)],
                "ticket=t",
                "token other",
                Some("sessile.v1"),
            ),
            (
                &[(list.clone(), "sessile.v1"), (list.clone(), &sessile[12..])],
                "ticket=t",
                &token,
                Some("sessile.v1"),
            ),
            (
                &[(auth, "Basic eDp5")],
                "a=b&ticket=t%2D1&session_id=x",
                "ticket t-1",
                None,
            ),
        ];
        for (pairs, query, proof, protocol) in table {
            assert_eq!(
                read(pairs, query).unwrap(),
                (proof.to_owned(), protocol),
                "{pairs:?} {query}"
            );
        }
    }

    #[test]
    fn a_token_in_the_query_is_refused_however_it_is_written() {
        for query in [
            "token=x",
            "a=b&access_token=x",
            "jwt=x",
            "Token=x",
            "%74oken=x",
            "token",
            "ticket=t&ACCESS_TOKEN=",
        ] {
            let refused = read(&[(AUTHORIZATION, "Bearer other")], query).unwrap_err();
            assert!(
                matches!(&refused, AuthError::BadRequest(text) if text.contains("POST /v1/tickets")),
                "{query}"
            );
            assert!(Offer::read_plain(&HeaderMap::new(), query).is_err());
        }
    }

    #[test]
    fn what_is_ambiguous_or_unreadable_is_refused() {
        let (auth, list) = (AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL);
        let two = format!("sessile.v1, bearer.{ENCODED}, bearer.{ENCODED}");
        let alone = format!("bearer.{ENCODED}");
        let table: [(Headers, &str); 7] = [
            (&[(auth.clone(), "Bearer a"), (auth, "Bearer b")], ""),
            (&[(list.clone(), &two)], ""),
            (&[(list.clone(), &alone)], ""),
            (&[(list.clone(), "graphql-ws")], ""),
            (&[(list.clone(), "Sessile.V1")], ""),
            (&[(list, "sessile.v1, bearer.aaa.bbb.ccc")], ""),
            (&[], "ticket=a&ticket=b"),
        ];
        for (pairs, query) in table {
            let refused = read(pairs, query).unwrap_err();
            assert!(
                matches!(&refused, AuthError::BadRequest(text) if !text.contains(ENCODED)),
                "{pairs:?} {query}"
            );
        }
    }

    #[test]
    fn a_ticket_opens_a_socket_and_nothing_else() {
        let read = Offer::read_plain(&headers(&[(SEC_WEBSOCKET_PROTOCOL, "sessile.v1")]), "ticket=t").unwrap();
        assert!(read.is_none());
    }
}
