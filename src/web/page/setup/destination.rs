//! The fourth step: the first place where the programme goes, and whether it answers.

use std::sync::Arc;

use askama::Template;
use axum::{extract::State, http::StatusCode, response::Response};
use secrecy::SecretString;
use serde::Deserialize;

use super::step::{COUNT, Step};
use crate::{
    control::{
        destinations::{
            self,
            trial::{self, Preset},
            wanted::DestinationView,
        },
        journal::By,
    },
    core::destination::{DestinationId, DestinationInput, free_name},
    media::egress::TrialVerdict,
    web::{
        app::App,
        http::{
            body::UrlQuery,
            problem::Problem,
            rights::{Right, Routes},
        },
        page::{
            assets,
            flash::Flash,
            form::{Form, Sender},
            layout::Page,
            people::{Wrong, to_be_filled_in_again},
            ui,
        },
    },
};

const PAGE: &str = "/setup/destination";

pub(super) fn routes() -> Routes {
    Routes::new().page(Right::Admin, PAGE, show).form(Right::Admin, PAGE, add).form(
        Right::Admin,
        "/setup/destination/test",
        test,
    )
}

/// What is filled in. The key is never shown again.
struct Filled {
    name: String,
    url: String,
}

#[derive(Template)]
#[template(path = "setup/destination.html")]
struct DestinationPage<'a> {
    page: &'a Page,
    step: Step,
    /// Those that are there.
    all: Vec<DestinationView>,
    presets: [Preset; 5],
    chosen: Option<Preset>,
    filled: Filled,
    wrong: Option<Wrong>,
}

/// Which platform was chosen.
#[derive(Deserialize)]
struct Chosen {
    #[serde(default)]
    platform: String,
}

fn preset(id: &str) -> Option<Preset> {
    Preset::all().into_iter().find(|preset| preset.id == id)
}

async fn show(State(app): State<Arc<App>>, mut page: Page, UrlQuery(chosen): UrlQuery<Chosen>) -> Response {
    page.bare = true;
    let all = app.control.destinations();
    let chosen = preset(&chosen.platform);
    let complete = chosen.filter(|preset| preset.complete);
    let filled = Filled {
        name: complete
            .map_or_else(String::new, |preset| free_name(preset.name, all.iter().map(|one| one.name.as_str()))),
        url: complete.map_or_else(String::new, |preset| preset.url.to_owned()),
    };
    let (step, presets) = (Step::Destination, Preset::all());
    page.show(&DestinationPage { page: &page, step, all, presets, chosen, filled, wrong: None })
}

/// What the form sends.
#[derive(Deserialize)]
struct Sent {
    name: String,
    url: String,
    key: SecretString,
    #[serde(default)]
    platform: String,
}

async fn add(
    State(app): State<Arc<App>>,
    mut page: Page,
    by: By,
    sender: Sender,
    Form(sent): Form<Sent>,
) -> Result<Response, Problem> {
    page.bare = true;
    let filled = Filled { name: sent.name.clone(), url: sent.url.clone() };
    let input = DestinationInput { name: sent.name, url: sent.url, key: sent.key, enabled: true };
    match destinations::add(&app.control, &by, input).await {
        Ok(view) => {
            let text = format!("{} is there. Test it now: then you know that the key is right.", view.name);
            Ok(sender.go(&app, PAGE, Some(&Flash::done(text))))
        }
        Err(denied) => {
            let wrong = Some(to_be_filled_in_again(denied)?);
            let (step, presets, all) = (Step::Destination, Preset::all(), app.control.destinations());
            let chosen = preset(&sent.platform).or_else(|| preset("custom"));
            let again = DestinationPage { page: &page, step, all, presets, chosen, filled, wrong };
            Ok(page.show_with(StatusCode::UNPROCESSABLE_ENTITY, &again))
        }
    }
}

/// Which one is tried.
#[derive(Deserialize)]
struct Tested {
    id: DestinationId,
}

async fn test(
    State(app): State<Arc<App>>,
    by: By,
    sender: Sender,
    Form(tested): Form<Tested>,
) -> Result<Response, Problem> {
    let all = app.control.destinations();
    let name = all.into_iter().find(|one| one.id == tested.id).map(|one| one.name).unwrap_or_default();
    let trial = trial::run(&app.control, &by, tested.id).await?;
    let flash = match trial.verdict {
        TrialVerdict::Accepted => Flash::done(format!("{name}: {}", trial.message)),
        TrialVerdict::Refused | TrialVerdict::Failed => Flash::failed(format!("{name}: {}", trial.message)),
    };
    Ok(sender.done(&app, PAGE, &flash))
}
