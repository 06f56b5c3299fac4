//! Questions to the services of the site, asked from inside of it.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    instance::Instance,
    plan::Host,
    run::{on, output},
};

/// Fetches a page from a host, with further options of curl; gives up after ten seconds.
///
/// # Errors
/// What curl said, also of a status of 400 and more.
pub fn fetch(instance: &Instance, from: Host, url: &str, options: &[&str]) -> Result<String> {
    let mut curl = on(instance, from, "curl");
    curl.args(["--silent", "--show-error", "--fail", "--globoff", "--noproxy", "*"]);
    curl.args(["--max-time", "10"]).args(options).arg(url);
    output(&mut curl)
}

/// A sample of an answer of Prometheus: labels and value.
pub type Sample = (Value, f64);

/// Asks Prometheus, as an administrator does.
///
/// # Errors
/// If it refuses the query or does not answer.
pub fn samples(instance: &Instance, query: &str) -> Result<Vec<Sample>> {
    let url = format!("http://{}:9090/api/v1/query", Host::Monitor.ipv4());
    let argument = format!("query={query}");
    // Not --fail: the reason stands in the body.
    let mut curl = on(instance, Host::Admin, "curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "10"]);
    let page = output(curl.args(["--get", "--data-urlencode", &argument, &url]))?;
    let answer: Value = serde_json::from_str(&page).with_context(|| format!("no JSON: {page}"))?;
    ensure!(answer["status"] == "success", "{query}: {}", answer["error"]);
    let result = &answer["data"]["result"];
    let value = |value: &Value| {
        let text = value[1].as_str().context("a value")?;
        text.parse::<f64>().with_context(|| format!("no number: {text}"))
    };
    match answer["data"]["resultType"].as_str() {
        Some("vector") => result
            .as_array()
            .context("a vector")?
            .iter()
            .map(|sample| Ok((sample["metric"].clone(), value(&sample["value"])?)))
            .collect(),
        Some("scalar") => Ok(vec![(Value::Null, value(result)?)]),
        other => bail!("{query} gives {other:?}, which is neither vector nor scalar"),
    }
}

/// The values alone.
///
/// # Errors
/// Those of [`samples`].
pub fn prometheus(instance: &Instance, query: &str) -> Result<Vec<f64>> {
    Ok(samples(instance, query)?.into_iter().map(|(_, value)| value).collect())
}

/// The one value of a query.
///
/// # Errors
/// If it has none or several.
pub fn value(instance: &Instance, query: &str) -> Result<f64> {
    match prometheus(instance, query)?.as_slice() {
        [one] => Ok(*one),
        other => bail!("{query} has {} values", other.len()),
    }
}

/// Alerts that are firing, by name and server (empty if they are about the site), as Alertmanager knows them.
///
/// # Errors
/// If it does not answer.
pub fn alerts(instance: &Instance) -> Result<Vec<(String, String)>> {
    let url = format!("http://{}:9093/api/v2/alerts?active=true", Host::Monitor.ipv4());
    let page = fetch(instance, Host::Admin, &url, &[])?;
    let answer: Value = serde_json::from_str(&page).with_context(|| format!("no JSON: {page}"))?;
    let alerts = answer.as_array().context("a list of alerts")?.iter();
    let label =
        |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
    let mut alerts: Vec<_> =
        alerts.map(|alert| (label(alert, "alertname"), label(alert, "instance"))).collect();
    alerts.sort();
    Ok(alerts)
}

/// A page of metrics in Prometheus's text format, from the monitor; `monitor` asks itself.
///
/// # Errors
/// If the server does not answer.
pub fn metrics(instance: &Instance, host: Host) -> Result<String> {
    let address =
        if host == Host::Monitor { "127.0.0.1".to_owned() } else { host.ipv4().to_string() };
    fetch(instance, Host::Monitor, &format!("http://{address}:9898/metrics"), &[])
}

/// Sum of the samples of a page whose series have this name and all of these labels; nothing if there is none.
pub fn sum(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let found = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, set) = series.split_once('{').unwrap_or((series, ""));
        let has = |(key, value): &(&str, &str)| set.contains(&format!("{key}=\"{value}\""));
        (found == name && labels.iter().all(has)).then(|| value.parse::<f64>().ok())?
    });
    found.reduce(|one, other| one + other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_chosen_by_their_labels() {
        let page =
            "# HELP a b\na{port=\"80\",code=\"2xx\"} 2\na{port=\"443\",code=\"2xx\"} 3\nab 7\n";
        assert_eq!(sum(page, "a", &[]), Some(5.0));
        assert_eq!(sum(page, "a", &[("port", "443")]), Some(3.0));
        assert_eq!(sum(page, "a", &[("port", "3")]), None);
        assert_eq!(sum(page, "ab", &[]), Some(7.0));
    }
}
