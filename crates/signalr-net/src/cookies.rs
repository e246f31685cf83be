//! Cookies, so that what stands in front of a farm of servers finds the same server again
//! ([TR-75](signalr_proto::spec::transports#tr-75)).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use cookie::Cookie;
use http::{HeaderMap, HeaderValue, Uri, header};

/// Cookies kept at a time; the oldest go first.
const MAX_COOKIES: usize = 32;
/// Bytes of a `Set-Cookie` header. Longer ones are ignored, as browsers do.
const MAX_SIZE: usize = 4096;

/// Who keeps the cookies of the servers a connection talks to.
///
/// Asked before each request, also the one that opens a WebSocket, and told after each answer. A `Cookie` header that you set
/// yourself is sent before what this gives. Implement it to share cookies with the rest of a program.
pub trait Cookies: Send + Sync {
    /// What a server answered: the values of its `Set-Cookie` headers, at least one.
    fn store(&self, url: &Uri, set_cookie: &mut dyn Iterator<Item = &HeaderValue>);

    /// The `Cookie` header for a request: `name=value; name=value`.
    fn header(&self, url: &Uri) -> Option<HeaderValue>;
}

impl<C: Cookies + ?Sized> Cookies for Arc<C> {
    fn store(&self, url: &Uri, set_cookie: &mut dyn Iterator<Item = &HeaderValue>) {
        (**self).store(url, set_cookie);
    }

    fn header(&self, url: &Uri) -> Option<HeaderValue> {
        (**self).header(url)
    }
}

/// Forgets every cookie.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "there is nothing to add")]
pub struct NoCookies;

impl Cookies for NoCookies {
    fn store(&self, _: &Uri, _: &mut dyn Iterator<Item = &HeaderValue>) {}

    fn header(&self, _: &Uri) -> Option<HeaderValue> {
        None
    }
}

/// Keeps cookies in memory, as RFC 6265 says, but gives each back to no other host than the one that set it, whatever its
/// `Domain` says: that is all that sticky sessions need. At most 32 cookies of 4 KiB; `Debug` shows how many there are.
#[derive(Default)]
pub struct CookieJar {
    cookies: Mutex<Vec<StoredCookie>>,
}

struct StoredCookie {
    name: Box<str>,
    value: Box<str>,
    host: Box<str>,
    path: Box<str>,
    secure: bool,
    expires: Option<SystemTime>,
}

impl StoredCookie {
    /// The cookie of a header, unless it is malformed or not this host's to set.
    fn read(url: &Uri, header: &HeaderValue, now: SystemTime) -> Option<Self> {
        let text = header.to_str().ok().filter(|text| text.len() <= MAX_SIZE)?;
        let cookie = Cookie::parse(text).ok()?;
        let host = host(url)?;
        let secure = cookie.secure().unwrap_or_default();
        if cookie.domain().is_some_and(|domain| !within(&host, domain))
            || (secure && !is_secure(url))
        {
            return None;
        }
        let path = cookie.path().filter(|path| path.starts_with('/'));
        Some(Self {
            name: cookie.name().into(),
            value: cookie.value().into(),
            host,
            path: path.unwrap_or_else(|| folder(url.path())).into(),
            secure,
            expires: expiry(&cookie, now),
        })
    }

    fn replaces(&self, other: &Self) -> bool {
        (&self.name, &self.host, &self.path) == (&other.name, &other.host, &other.path)
    }

    fn is_alive(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    fn is_for(&self, host: &str, url: &Uri) -> bool {
        *self.host == *host && covers(&self.path, url.path()) && (!self.secure || is_secure(url))
    }
}

fn is_secure(url: &Uri) -> bool {
    matches!(url.scheme_str(), Some("https" | "wss"))
}

fn host(url: &Uri) -> Option<Box<str>> {
    url.host()
        .map(|host| host.to_ascii_lowercase().into_boxed_str())
}

/// Whether a host is a domain or one of its names.
fn within(host: &str, domain: &str) -> bool {
    let domain = domain.trim_start_matches('.').to_ascii_lowercase();
    host == domain
        || host
            .strip_suffix(&*domain)
            .is_some_and(|rest| rest.ends_with('.') && rest.len() > 1)
}

/// Where a cookie without a path belongs: the folder of what set it.
fn folder(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some((folder, _)) if folder.starts_with('/') => folder,
        Some(_) | None => "/",
    }
}

fn covers(folder: &str, path: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder.ends_with('/'))
}

/// `Max-Age` counts more than `Expires`; neither means for as long as the jar lives.
fn expiry(cookie: &Cookie<'_>, now: SystemTime) -> Option<SystemTime> {
    match cookie.max_age() {
        Some(age) => {
            Duration::try_from(age).map_or(Some(SystemTime::UNIX_EPOCH), |age| now.checked_add(age))
        }
        None => cookie.expires_datetime().map(SystemTime::from),
    }
}

impl CookieJar {
    fn kept(&self) -> MutexGuard<'_, Vec<StoredCookie>> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, cookie: StoredCookie, now: SystemTime) {
        let mut kept = self.kept();
        kept.retain(|other| !cookie.replaces(other) && other.is_alive(now));
        if cookie.is_alive(now) {
            kept.push(cookie);
        }
        if kept.len() > MAX_COOKIES {
            kept.remove(0);
        }
    }
}

impl Cookies for CookieJar {
    fn store(&self, url: &Uri, set_cookie: &mut dyn Iterator<Item = &HeaderValue>) {
        let now = SystemTime::now();
        for header in set_cookie {
            if let Some(cookie) = StoredCookie::read(url, header, now) {
                self.keep(cookie, now);
            }
        }
    }

    fn header(&self, url: &Uri) -> Option<HeaderValue> {
        let (host, now) = (host(url)?, SystemTime::now());
        let kept = self.kept();
        let mut chosen: Vec<&StoredCookie> = kept
            .iter()
            .filter(|cookie| cookie.is_alive(now) && cookie.is_for(&host, url))
            .collect();
        // The more exact path first, then the older cookie.
        chosen.sort_by_key(|cookie| core::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> = chosen
            .iter()
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        secret(&pairs.join("; "))
    }
}

impl core::fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("CookieJar")
            .field("cookies", &self.kept().len())
            .finish_non_exhaustive()
    }
}

/// A header that nobody may print.
fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text)
        .ok()
        .filter(|value| !value.is_empty())?;
    value.set_sensitive(true);
    Some(value)
}

/// Adds the cookies for a request behind those that its maker put there.
pub(crate) fn attach(cookies: &dyn Cookies, url: &Uri, headers: &mut HeaderMap) {
    let Some(ours) = cookies.header(url) else {
        return;
    };
    let all = headers
        .get_all(header::COOKIE)
        .iter()
        .chain([&ours])
        .filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>()
        .join("; ");
    if let Some(value) = secret(&all) {
        headers.insert(header::COOKIE, value);
    }
}

/// Keeps what an answer sets.
pub(crate) fn keep(cookies: &dyn Cookies, url: &Uri, headers: &HeaderMap) {
    let mut set = headers.get_all(header::SET_COOKIE).iter().peekable();
    if set.peek().is_some() {
        cookies.store(url, &mut set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(url: &str) -> Uri {
        url.parse().unwrap()
    }

    fn set(jar: &CookieJar, url: &str, header: &str) {
        let header = HeaderValue::from_str(header).unwrap();
        jar.store(&uri(url), &mut [&header].into_iter());
    }

    fn sent(jar: &CookieJar, url: &str) -> String {
        jar.header(&uri(url))
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    }

    #[test]
    fn a_cookie_returns_to_its_host_and_path_and_to_no_other() {
        for (setter, header, asked, given) in [
            ("http://h/hub/negotiate", "a=1", "ws://h/hub", "a=1"),
            (
                "http://h/hub/negotiate",
                "a=1; Path=/",
                "http://h:81/x",
                "a=1",
            ),
            ("http://h/hub/negotiate", "a=1", "http://h/hubbub", ""),
            (
                "http://h/hub/negotiate",
                "a=1; Path=/hub",
                "http://h/hub/x",
                "a=1",
            ),
            (
                "http://h/hub/negotiate",
                "a=1; Path=/other",
                "http://h/hub",
                "",
            ),
            (
                "http://h/hub/negotiate",
                "a=1; Path=relative",
                "http://h/hub",
                "a=1",
            ),
            ("http://h/negotiate", "a=1", "http://h/anywhere", "a=1"),
            ("http://h/", "a=1", "http://other/", ""),
            ("http://H/", "a=1", "http://h/", "a=1"),
            (
                "http://a.h.io/",
                "a=1; Domain=h.io",
                "http://a.h.io/",
                "a=1",
            ),
            ("http://a.h.io/", "a=1; Domain=.h.io", "http://b.h.io/", ""),
            ("http://a.h.io/", "a=1; Domain=.h.io", "http://h.io/", ""),
            (
                "http://a.h.io/",
                "a=1; Domain=other.io",
                "http://a.h.io/",
                "",
            ),
            ("http://ah.io/", "a=1; Domain=h.io", "http://ah.io/", ""),
            ("http://[::1]:5/", "a=1", "ws://[::1]:5/", "a=1"),
        ] {
            let jar = CookieJar::default();
            set(&jar, setter, header);
            assert_eq!(sent(&jar, asked), given, "{setter} {header} {asked}");
        }
    }

    #[test]
    fn a_secure_cookie_is_taken_and_given_over_tls_only() {
        let jar = CookieJar::default();
        set(&jar, "http://h/", "a=1; Secure");
        assert_eq!(sent(&jar, "https://h/"), "");
        set(&jar, "https://h/", "a=1; Secure");
        assert_eq!(sent(&jar, "http://h/"), "");
        assert_eq!(sent(&jar, "ws://h/"), "");
        assert_eq!(sent(&jar, "wss://h/"), "a=1");
    }

    #[test]
    fn cookies_are_replaced_expire_and_are_ordered_by_path() {
        let jar = CookieJar::default();
        set(&jar, "http://h/", "a=1; Path=/");
        set(&jar, "http://h/", "b=2; Path=/x");
        set(&jar, "http://h/", "a=3; Path=/; Max-Age=100");
        set(
            &jar,
            "http://h/",
            "c=\"4\"; Path=/; Expires=Fri, 31 Dec 9999 23:59:59 GMT",
        );
        assert_eq!(sent(&jar, "http://h/x"), "b=2; a=3; c=\"4\"");
        set(&jar, "http://h/", "a=; Path=/; Max-Age=0");
        set(&jar, "http://h/", "b=; Path=/x; Max-Age=-5");
        set(
            &jar,
            "http://h/",
            "c=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        );
        assert_eq!(sent(&jar, "http://h/x"), "");
    }

    #[test]
    fn what_is_malformed_is_ignored_and_what_is_kept_is_bounded() {
        let jar = CookieJar::default();
        for header in ["", "=1", "nothing", &format!("a={}", "x".repeat(5000))] {
            set(&jar, "http://h/", header);
        }
        assert_eq!(sent(&jar, "http://h/"), "");
        for number in 0..100 {
            set(&jar, "http://h/", &format!("a{number}=1"));
        }
        let sent = sent(&jar, "http://h/");
        assert_eq!(sent.split("; ").count(), MAX_COOKIES);
        assert!(sent.ends_with("a99=1"), "{sent}");
        assert!(!format!("{jar:?}").contains("a99"));
    }

    #[test]
    fn the_users_own_cookies_are_kept() {
        let jar = CookieJar::default();
        set(&jar, "http://h/", "a=1");
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_static("mine=0"));
        attach(&jar, &uri("http://h/"), &mut headers);
        assert_eq!(headers.get(header::COOKIE).unwrap(), "mine=0; a=1");
        attach(&NoCookies, &uri("http://h/"), &mut headers);
        assert_eq!(headers.get(header::COOKIE).unwrap(), "mine=0; a=1");
    }
}
