//! Lists what there is: agents and tools, as they were frozen before the first connection.

use actix_web::{HttpResponse, web};

use super::{Caller, State};

/// `GET /v1/agents`: `[{name, description, default, steerable}]`.
pub(super) async fn agents(_: Caller, state: web::Data<State>) -> HttpResponse {
    let registry = &state.infra.agents;
    let agents: Vec<_> = registry
        .classes()
        .map(|class| {
            serde_json::json!({
                "name": class.name,
                "description": class.description,
                "default": *class.name == **registry.default_name(),
                "steerable": class.steerable,
            })
        })
        .collect();
    HttpResponse::Ok().json(agents)
}

/// `GET /v1/tools`: `[{name, description, parameters}]`.
pub(super) async fn tools(_: Caller, state: web::Data<State>) -> HttpResponse {
    let tools: Vec<_> = state.infra.tools.specs().map(AsRef::as_ref).collect();
    HttpResponse::Ok().json(tools)
}
