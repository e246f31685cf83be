//! `signalr doctor`: looks at an address step by step and says what is wrong.

mod address;
mod certificate;
mod negotiation;
mod patient;
mod probe;
mod reach;
mod report;
mod traffic;
mod transport;

use std::net::SocketAddr;
use std::time::Duration;

use signalr::client::ascii_address;
use signalr_proto::TransportKind;
use signalr_proto::client::ClientConfig;

use self::address::Place;
use self::negotiation::Offered;
use self::patient::Patient;
use self::report::{Finding, Report, Status};
use crate::cli::DoctorArgs;
use crate::failure::Failure;
use crate::hub::explain::Explain;
use crate::hub::token::TokenSource;
use crate::hub::{connect, session};

/// On each wait, without --timeout.
const DEFAULT_BOUND: Duration = Duration::from_secs(10);
/// A step has several waits; this many bounds are enough for all of them.
const WAITS: u32 = 5;

/// Runs the command.
pub(crate) fn run(options: &DoctorArgs) -> Result<(), Failure> {
    let token = TokenSource::of(&options.server)?;
    let bound = connect::timeout(&options.server)?.unwrap_or(DEFAULT_BOUND);
    // Mistakes on the command line are not the server's.
    connect::header_map(&options.server)?;
    let wanted = options.transports.kinds()?;
    session::block_on(async {
        let mut report = Report::new(options.server.output);
        let mut visit = Visit {
            options,
            wanted,
            token,
            bound,
            report: &mut report,
            blocked: None,
        };
        tokio::select! {
            biased;
            () = session::interrupted() => Err(Failure::Interrupted),
            done = visit.examine() => done,
        }?;
        report.finish()
    })
}

/// The steps, in their order.
struct Visit<'a> {
    options: &'a DoctorArgs,
    /// The transports to look at; all without any.
    wanted: Vec<TransportKind>,
    token: TokenSource,
    bound: Duration,
    report: &'a mut Report,
    /// The step that failed and without which there are no others.
    blocked: Option<&'static str>,
}

impl Visit<'_> {
    async fn examine(&mut self) -> Result<(), Failure> {
        let (finding, place) = address::check(&self.options.url, self.token.is_some());
        self.add("address", finding)?;
        let address = self.reach(place.as_ref()).await?;
        let patient = match place {
            Some(place) if self.blocked.is_none() => Some(self.patient(place, address)?),
            Some(_) | None => None,
        };
        let offered = self.negotiate(patient.as_ref()).await?;
        self.talk(patient.as_ref(), offered.unwrap_or_default())
            .await
    }

    /// Proxy, DNS, TCP and TLS. Gives the server's own address, unless a proxy connects to it.
    async fn reach(&mut self, place: Option<&Place>) -> Result<Option<SocketAddr>, Failure> {
        let bound = self.bound;
        let proxy = connect::proxy(&self.options.server)?;
        let (first, proxied) = match self.ready("proxy", place)? {
            None => (None, false),
            Some(place) => {
                let named = self.options.server.proxy.is_some();
                let (finding, first, proxied) =
                    address::proxy(&proxy, named, &self.options.url, place);
                self.decisive("proxy", finding)?;
                (Some(first), proxied)
            }
        };
        let addresses = match self.ready("dns", first)? {
            None => Vec::new(),
            Some(first) => {
                let (finding, addresses) = reach::look_up(&first, bound).await;
                self.decisive("dns", finding)?;
                addresses
            }
        };
        let address = match self.ready("tcp", Some(&addresses))? {
            None => None,
            Some(addresses) => {
                let (mut finding, address) = reach::connect(addresses, bound).await;
                if proxied && finding.status == Status::Failed {
                    finding = finding.advice(
                        "this is the proxy: is it running, and is its address right? --proxy none does without",
                    );
                }
                self.decisive("tcp", finding)?;
                address
            }
        };
        if let Some((place, address)) = self.ready("tls", place.zip(address))? {
            let finding = if !place.secure {
                Finding::skipped("the address does not ask for it")
            } else if proxied {
                Finding::skipped("behind a proxy, the certificate is looked at when negotiating")
            } else {
                certificate::check(place, address, bound, self.options.server.insecure).await
            };
            self.decisive("tls", finding)?;
        }
        Ok(address.filter(|_| !proxied))
    }

    async fn negotiate(&mut self, patient: Option<&Patient>) -> Result<Option<Offered>, Failure> {
        let Some(patient) = self.ready("negotiate", patient)? else {
            return Ok(None);
        };
        let negotiated = tokio::time::timeout(self.limit(), negotiation::negotiate(patient)).await;
        let (finding, offered) = negotiated.unwrap_or_else(|_| (late(), None));
        self.decisive("negotiate", finding)?;
        Ok(offered)
    }

    /// Transports, protocols, and what flows over them.
    async fn talk(&mut self, patient: Option<&Patient>, offered: Offered) -> Result<(), Failure> {
        let mut working = Vec::new();
        let mut streaming = None;
        for kind in TransportKind::ALL {
            let Some(patient) = self.ready(step_name(kind), patient)? else {
                continue;
            };
            if !self.wanted.is_empty() && !self.wanted.contains(&kind) {
                self.add(
                    step_name(kind),
                    Finding::skipped("--transport leaves it out"),
                )?;
                continue;
            }
            let trying = transport::check(patient, &offered, kind);
            let tried = tokio::time::timeout(self.limit(), trying).await;
            let finding = match &tried {
                Err(_) => late(),
                Ok(None) if self.wanted.is_empty() => {
                    Finding::skipped("the server does not offer it")
                }
                Ok(None) => Finding::failed("the server does not offer it")
                    .advice("allow it on the server, or leave it out of --transport"),
                Ok(Some(tried)) => tried.finding.clone(),
            };
            if finding.status == Status::Ok {
                working.push(kind);
            }
            self.add(step_name(kind), finding)?;
            if kind == TransportKind::ServerSentEvents {
                streaming = tried.ok().flatten();
            }
        }
        if self.ready("event-stream-flow", patient)?.is_some() {
            let finding = streaming.as_ref().map(transport::streaming);
            let none = || Finding::skipped("there was no event stream to look at");
            self.add("event-stream-flow", finding.unwrap_or_else(none))?;
        }
        if let Some(patient) = self.ready("messagepack", patient)? {
            let finding = self
                .bounded(traffic::message_pack(patient, &offered, &working))
                .await;
            self.add("messagepack", finding)?;
        }
        if let Some(patient) = self.ready("round-trip", patient)? {
            let finding = self.bounded(traffic::round_trip(patient, &working)).await;
            self.add("round-trip", finding)?;
        }
        self.sizes(patient, &working).await
    }

    async fn sizes(
        &mut self,
        patient: Option<&Patient>,
        working: &[TransportKind],
    ) -> Result<(), Failure> {
        let Some(patient) = self.ready("message-size", patient)? else {
            return Ok(());
        };
        let finding = match &self.options.probe_size {
            // Each size has its bound.
            Some(method) => traffic::size(patient, method, working).await,
            None => Finding::skipped("nobody asked for it with --probe-size METHOD"),
        };
        self.add("message-size", finding)
    }

    fn patient(&self, place: Place, address: Option<SocketAddr>) -> Result<Patient, Failure> {
        let server = &self.options.server;
        let mut config = ClientConfig::new(&ascii_address(&self.options.url))
            .map_err(|error| Failure::usage(error.to_string()))?;
        config.ascii_address = Some(|address| ascii_address(address).into_owned());
        config.headers = connect::header_map(server)?;
        config.has_access_token = self.token.is_some();
        config.connect_timeout = self.bound;
        config.handshake_timeout = self.bound;
        Ok(Patient {
            config,
            net: connect::transport(server)?,
            token: self.token.clone(),
            place,
            address,
            explain: Explain {
                has_token: self.token.is_some(),
                negotiates: true,
            },
            bound: self.bound,
        })
    }

    /// What a step needs, unless it is skipped.
    fn ready<T>(&mut self, step: &str, needed: Option<T>) -> Result<Option<T>, Failure> {
        match (self.blocked, needed) {
            (None, Some(needed)) => Ok(Some(needed)),
            (Some(blocked), _) => {
                self.add(step, Finding::skipped(format!("because {blocked} failed")))?;
                Ok(None)
            }
            (None, None) => {
                self.add(step, Finding::skipped("there is nothing to look at"))?;
                Ok(None)
            }
        }
    }

    /// A step without which there are no others.
    fn decisive(&mut self, step: &'static str, finding: Finding) -> Result<(), Failure> {
        if finding.status == Status::Failed {
            self.blocked = Some(step);
        }
        self.report.add(step, finding)
    }

    fn add(&mut self, step: &str, finding: Finding) -> Result<(), Failure> {
        if step == "address" && finding.status == Status::Failed {
            self.blocked = Some("address");
        }
        self.report.add(step, finding)
    }

    fn limit(&self) -> Duration {
        self.bound.saturating_mul(WAITS)
    }

    async fn bounded(&self, work: impl Future<Output = Finding>) -> Finding {
        let done = tokio::time::timeout(self.limit(), work).await;
        done.unwrap_or_else(|_| late())
    }
}

fn late() -> Finding {
    Finding::failed("took too long").advice("with --timeout there is more time")
}

const fn step_name(kind: TransportKind) -> &'static str {
    match kind {
        TransportKind::WebSockets => "websockets",
        TransportKind::ServerSentEvents => "server-sent-events",
        TransportKind::LongPolling | _ => "long-polling",
    }
}
