//! Which proxy a request goes through.

mod server;

pub(crate) use server::{ProxyKind, Server};

use std::borrow::Cow;
use std::sync::Arc;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::proxy::matcher::Matcher;
use signalr_proto::domain::ascii_host;

use crate::address::Address;
use crate::error::{NetError, SetupError};

/// Through which proxy servers are reached.
///
/// | address of the proxy | how it is used |
/// |---|---|
/// | `http://host:port`, `host:port` | plain requests in absolute form; WebSockets and everything over TLS through `CONNECT` |
/// | `https://host:port` | the same, over TLS to the proxy |
/// | `socks5://host:port`, `socks5h://host:port` | SOCKS version 5; the proxy resolves the names of servers |
///
/// A user name and password stand in the address, percent-encoded where they must be: `http://user:password@host:port`. Without
/// a port it is 1080, for https 443. `Debug` does not show them.
#[derive(Clone, Default)]
pub struct Proxy {
    choice: Choice,
}

#[derive(Clone, Default)]
enum Choice {
    /// Read when a transport is made.
    #[default]
    Environment,
    Rules(Rules),
}

impl Proxy {
    /// This proxy for every server. The environment does not count.
    ///
    /// # Errors
    /// [`SetupError::Proxy`] when the address is not one of the forms above.
    pub fn url(url: &str) -> Result<Self, SetupError> {
        let server = Server::parse(url).map(Arc::new);
        let server = server.ok_or_else(|| SetupError::Proxy {
            detail: NOT_A_PROXY.into(),
        })?;
        Ok(Self::from_rules(Rules {
            plain: Found::Proxy(Arc::clone(&server)),
            secure: Found::Proxy(server),
            except: None,
        }))
    }

    /// No proxy, whatever the environment says.
    #[must_use]
    pub const fn none() -> Self {
        Self::from_rules(Rules::NONE)
    }

    /// What the environment says when the connection is built, read as curl reads it. This is the default.
    ///
    /// `http_proxy` (in lower case only) is for http and ws, `https_proxy` or `HTTPS_PROXY` for https and wss, `all_proxy` or
    /// `ALL_PROXY` for what has none of its own. `no_proxy` or `NO_PROXY` lists the exceptions, see [`except`](Self::except).
    /// Names in lower case count more; empty variables do not count.
    #[must_use]
    pub const fn from_environment() -> Self {
        Self {
            choice: Choice::Environment,
        }
    }

    /// As [`from_environment`](Self::from_environment), with variables from elsewhere.
    ///
    /// ```
    /// # use signalr_net::Proxy;
    /// let proxy = Proxy::from_variables(|name| (name == "HTTPS_PROXY").then(|| "http://proxy.example:3128".to_owned()));
    /// ```
    #[must_use]
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        Self::from_rules(Rules::read(variable))
    }

    /// Reaches these servers without the proxy. Replaces the exceptions that there were.
    ///
    /// A list like that of `NO_PROXY`, separated by commas or spaces: names, each with all names below it (`example.com` and
    /// `.example.com` are the same), IP addresses, networks such as `10.0.0.0/8`, or `*` for all. Ports do not count.
    #[must_use]
    pub fn except(self, servers: &str) -> Self {
        let mut rules = self.into_rules();
        rules.except = exceptions(servers);
        Self::from_rules(rules)
    }

    /// The proxy through which this address is reached, if there is one: its scheme, host and port. For those who want to show it.
    ///
    /// ```
    /// # use signalr_net::{Proxy, SetupError};
    /// # fn main() -> Result<(), SetupError> {
    /// let proxy = Proxy::url("http://user:password@proxy.example:3128")?.except("localhost");
    /// let found = proxy.server_for(&"https://example.com/chat".parse().unwrap())?;
    /// assert_eq!(found.unwrap().to_string(), "http://proxy.example:3128/");
    /// assert_eq!(proxy.server_for(&"http://localhost/chat".parse().unwrap())?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SetupError::Proxy`] when the environment variable that counts makes no sense, or `url` has no host.
    pub fn server_for(&self, url: &Uri) -> Result<Option<Uri>, SetupError> {
        let wrong = |error: NetError| SetupError::Proxy {
            detail: error.to_string().into(),
        };
        let address = Address::of(url).map_err(wrong)?;
        let rules = self.clone().into_rules();
        let found = rules.find(&address).map_err(wrong)?;
        found.map(Server::uri).transpose().map_err(wrong)
    }

    const fn from_rules(rules: Rules) -> Self {
        Self {
            choice: Choice::Rules(rules),
        }
    }

    pub(crate) fn into_rules(self) -> Rules {
        match self.choice {
            Choice::Environment => Rules::read(|name| std::env::var(name).ok()),
            Choice::Rules(rules) => rules,
        }
    }
}

impl core::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.choice {
            Choice::Environment => f.write_str("Proxy(from the environment)"),
            Choice::Rules(rules) => f
                .debug_struct("Proxy")
                .field("plain", &rules.plain)
                .field("secure", &rules.secure)
                .finish_non_exhaustive(),
        }
    }
}

const NOT_A_PROXY: &str =
    "a proxy's address must look like http://host:port, https://host:port or socks5://host:port";

/// The proxy for one kind of address.
#[derive(Clone, Debug)]
enum Found {
    None,
    Proxy(Arc<Server>),
    /// This variable makes no sense. An error only when it would be used.
    Unreadable(&'static str),
}

/// Proxies by kind of address, and the exceptions.
#[derive(Clone)]
pub(crate) struct Rules {
    plain: Found,
    secure: Found,
    except: Option<Arc<Matcher>>,
}

impl Rules {
    const NONE: Self = Self {
        plain: Found::None,
        secure: Found::None,
        except: None,
    };

    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                let value = variable(name).filter(|value| !value.trim().is_empty())?;
                Some((*name, value))
            })
        };
        let proxy = |names: &[&'static str]| match first(names) {
            None => Found::None,
            Some((name, value)) => Server::parse(&value)
                .map_or(Found::Unreadable(name), |server| {
                    Found::Proxy(Arc::new(server))
                }),
        };
        // HTTP_PROXY in capitals is left alone: to a CGI program it is the `Proxy` header of a request.
        Self {
            plain: proxy(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            secure: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            except: first(&["no_proxy", "NO_PROXY"]).and_then(|(_, list)| exceptions(&list)),
        }
    }

    /// The proxy for a server.
    pub(crate) fn find(&self, address: &Address) -> Result<Option<&Server>, NetError> {
        let found = if address.is_secure() {
            &self.secure
        } else {
            &self.plain
        };
        if matches!(found, Found::None) || self.is_excepted(address) {
            return Ok(None);
        }
        match found {
            Found::None => Ok(None),
            Found::Proxy(server) => Ok(Some(server)),
            Found::Unreadable(variable) => Err(NetError::failed(format!(
                "the environment variable {variable} cannot be used: {NOT_A_PROXY}"
            ))),
        }
    }

    fn is_excepted(&self, address: &Address) -> bool {
        let Some(except) = &self.except else {
            return false;
        };
        let target = address.target();
        // `host.` is `host` said more exactly.
        let target = target.replace(".:", ":");
        let uri = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(target)
            .path_and_query("/")
            .build();
        uri.is_ok_and(|uri| except.intercept(&uri).is_none())
    }
}

/// A matcher that intercepts everything but these.
fn exceptions(list: &str) -> Option<Arc<Matcher>> {
    let plain = |entry: &str| {
        let entry = entry.strip_suffix('.').unwrap_or(entry);
        let inner = entry
            .strip_prefix('[')
            .and_then(|entry| entry.strip_suffix(']'));
        let entry = inner.unwrap_or(entry);
        ascii_host(entry)
            .unwrap_or(Cow::Borrowed(entry))
            .into_owned()
    };
    let mut entries: Vec<String> = list
        .split(|c: char| c == ',' || c.is_whitespace())
        .map(plain)
        .filter(|entry| !entry.is_empty())
        .collect();
    if entries.iter().any(|entry| entry == "*") {
        // To the matcher a star means names only.
        entries.extend(["0.0.0.0/0".to_owned(), "::/0".to_owned()]);
    }
    let matcher = || Matcher::builder().all("http://any").no(entries.join(","));
    (!entries.is_empty()).then(|| Arc::new(matcher().build()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy for an address: its port, or what is wrong.
    fn found(rules: &Rules, uri: &str) -> String {
        let address = Address::of(&uri.parse().unwrap()).unwrap();
        match rules.find(&address) {
            Ok(None) => "none".into(),
            Ok(Some(server)) => server.address().target(),
            Err(error) => error.to_string(),
        }
    }

    fn variables(set: &[(&str, &str)]) -> Rules {
        Rules::read(|name| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_are_read_as_curl_reads_them() {
        for (set, plain, secure) in [
            (&[][..], "none", "none"),
            (&[("http_proxy", "http://p:1")], "p:1", "none"),
            (&[("HTTP_PROXY", "http://p:1")], "none", "none"),
            (&[("https_proxy", "http://p:1")], "none", "p:1"),
            (&[("HTTPS_PROXY", "http://p:1")], "none", "p:1"),
            (
                &[("HTTPS_PROXY", "http://p:1"), ("https_proxy", "http://q:2")],
                "none",
                "q:2",
            ),
            (&[("ALL_PROXY", "p:1")], "p:1", "p:1"),
            (
                &[("all_proxy", "socks5://p:1"), ("http_proxy", "q")],
                "q:1080",
                "p:1",
            ),
            (&[("all_proxy", "p:1"), ("http_proxy", " ")], "p:1", "p:1"),
            (&[("all_proxy", "p:1"), ("NO_PROXY", "h")], "none", "none"),
            (
                &[("all_proxy", "p:1"), ("no_proxy", "x"), ("NO_PROXY", "h")],
                "p:1",
                "p:1",
            ),
            (&[("all_proxy", "p:1"), ("no_proxy", "")], "p:1", "p:1"),
        ] {
            let rules = variables(set);
            for (uri, wanted) in [
                ("http://h/", plain),
                ("ws://h/", plain),
                ("https://h/", secure),
                ("wss://h/", secure),
            ] {
                assert_eq!(found(&rules, uri), wanted, "{set:?} {uri}");
            }
        }
    }

    #[test]
    fn exceptions_are_names_domains_addresses_and_networks() {
        for (list, host, direct) in [
            ("example.com", "example.com", true),
            ("example.com", "EXAMPLE.com:8080", true),
            ("example.com", "a.example.com", true),
            ("example.com", "notexample.com", false),
            ("example.com", "example.com.evil", false),
            (".example.com", "a.example.com", true),
            (".example.com", "example.com", true),
            (".example.com", "notexample.com", false),
            ("example.com.", "example.com", true),
            ("example.com", "example.com.", true),
            ("a, b\tc  d", "d", true),
            ("a,,b", "b", true),
            ("*", "anything", true),
            ("*", "10.0.0.1", true),
            ("*", "[fe80::1]", true),
            ("", "anything", false),
            ("localhost", "127.0.0.1", false),
            ("127.0.0.1", "127.0.0.1:5000", true),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("::1", "[::1]:5000", true),
            ("[::1]", "[::1]", true),
            ("fe80::/10", "[fe80::1]", true),
            ("fe80::/10", "[::1]", false),
        ] {
            let rules = Proxy::url("http://p:1").unwrap().except(list).into_rules();
            let wanted = if direct { "none" } else { "p:1" };
            assert_eq!(
                found(&rules, &format!("http://{host}/")),
                wanted,
                "{list:?} {host}"
            );
        }
    }

    #[test]
    fn addresses_of_proxies_have_few_forms() {
        for (url, wanted) in [
            ("http://p:1", Some("Http p:1")),
            ("http://p", Some("Http p:1080")),
            ("https://p", Some("Http p:443")),
            ("p:1/path", Some("Http p:1")),
            ("socks5://[::1]:9", Some("Socks [::1]:9")),
            ("socks5h://u:secret@p", Some("Socks p:1080")),
            ("http://u:secret@p:1", Some("Http p:1")),
            ("socks4://p:1", None),
            ("ftp://p:1", None),
            ("http://", None),
            ("", None),
            ("http://a b", None),
            ("http://p:x", None),
            ("http://p:99999", None),
        ] {
            let server = Server::parse(url);
            let shown = server.map(|server| format!("{server:?}"));
            assert_eq!(shown.as_deref(), wanted, "{url}");
        }
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_an_error_where_it_would_be_used() {
        let rules = variables(&[("https_proxy", "socks4://u:secret@p"), ("no_proxy", "x")]);
        assert_eq!(found(&rules, "http://h/"), "none");
        assert_eq!(found(&rules, "https://x/"), "none");
        let error = found(&rules, "https://h/");
        assert!(
            error.contains("https_proxy") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn credentials_are_decoded_and_not_shown() {
        let proxy = Proxy::url("http://us%40er:pa%3Ass@p:1").unwrap();
        assert!(!format!("{proxy:?}").contains("pa"), "{proxy:?}");
        let server = Server::parse("http://us%40er:pa%3Ass@p:1").unwrap();
        assert_eq!(server.basic().unwrap(), "Basic dXNAZXI6cGE6c3M=");
        let server = Server::parse("socks5://us%40er:pa%3Ass@p:1").unwrap();
        assert_eq!(server.password(), Some(("us@er", "pa:ss")));
    }
}
