//! What a test asks of the admin listener, and how it changes a configuration that is in force.

use serde_json::{Value, json};

use super::{App, Raw, RawResponse, until};

impl App {
    /// `/api/status`.
    pub async fn status(&self) -> Value {
        self.admin_get("/api/status").await.json()
    }

    /// The entry of a route's token in `/api/status`.
    pub async fn token(&self, route: &str) -> Value {
        let status = self.status().await;
        let tokens = status["tokens"].as_array().expect("a list of tokens");
        tokens.iter().find(|token| token["route"] == route).expect("the route has a token").clone()
    }

    /// The value of one series, name without prefix and with its labels as `/metrics` writes them.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.admin_get("/metrics").await.text();
        let line = text.lines().find_map(|line| {
            line.strip_prefix("maskinporten_proxy_")?.strip_prefix(series)?.strip_prefix(' ')
        });
        line.map(|value| value.parse().expect("a number"))
    }

    /// Asks for a route's token to be fetched anew, as the button on the page does.
    pub async fn refresh(&self, route: &str) -> RawResponse {
        let body = json!({ "client": "test", "route": route }).to_string();
        let mut raw = Raw::connect(self.admin).await;
        raw.write(format!(
            "POST /api/tokens/refresh HTTP/1.1\r\nHost: {}\r\nX-Maskinporten-Proxy: 1\r\nContent-Length: {}\r\n\r\n{body}",
            self.admin,
            body.len()
        ))
        .await;
        raw.response_to("POST").await
    }

    /// Replaces the configuration file in one step, as an editor does that is careful.
    pub fn edit(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(&self.config).expect("a configuration");
        let next = self.config.with_extension("next");
        std::fs::write(&next, change(text)).expect("a written configuration");
        std::fs::rename(&next, &self.config).expect("a configuration in place");
    }

    /// Makes the configuration be read again as it is, and waits until it is in force.
    pub async fn reload(&self) {
        const RELOADS: &str = "config_reloads_total{outcome=\"ok\"}";
        let before = self.metric(RELOADS).await;
        self.edit(|text| text + "# read me again\n");
        until("the configuration is read again", || async { self.metric(RELOADS).await > before }).await;
    }
}
