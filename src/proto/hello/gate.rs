//! What the listening end answers to each hello: the first fit opens the session, after it only that
//! session comes in.
//!
//! A pure decision. Does not know sockets or keys: who got here has already shown its key, where
//! there is one. Does not forget a session that anybody came in for: one process takes one stream.

use super::settle::settle;
use super::{
    Answer, Hello, HelloKind, MAX_WORKERS, Refusal, RefusalKind, Role, SessionId, Welcome, Wish,
};
use std::ops::RangeInclusive;

/// What the listening end is.
#[derive(Clone, Debug)]
pub struct Listener {
    /// What it would like.
    pub wish: Wish,
    /// Its label of the stream.
    pub name: String,
    /// Versions it speaks.
    pub versions: RangeInclusive<u16>,
    /// Random name of this process.
    pub incarnation: [u8; 16],
    /// What it does with the stream.
    pub role: Role,
}

/// Lets the connections of one session in.
#[derive(Debug)]
pub struct Gate {
    listener: Listener,
    session: Option<(SessionId, Welcome)>,
}

impl Gate {
    /// A gate through which nobody has come yet.
    pub fn new(listener: Listener) -> Gate {
        Gate { listener, session: None }
    }

    /// The answer to this hello. A welcome opens the session where none was; a refusal changes
    /// nothing.
    pub fn decide(&mut self, hello: &Hello) -> Answer {
        match self.admit(hello) {
            Ok(welcome) => {
                self.session.get_or_insert_with(|| (hello.session, welcome.clone()));
                Answer::Welcome(welcome)
            }
            Err((reason, detail)) => {
                Answer::Refuse(Refusal { versions: self.listener.versions.clone(), reason, detail })
            }
        }
    }

    /// Who opened the session never came in: the next one may open another.
    pub fn forget(&mut self) {
        self.session = None;
    }

    fn admit(&self, hello: &Hello) -> Result<Welcome, (RefusalKind, String)> {
        // Who does not belong here hears that first: `busy` would let it try again in vain.
        let version = self.identify(hello)?;
        let welcome = match (&self.session, hello.kind) {
            (Some((session, welcome)), _) if *session == hello.session => welcome.clone(),
            (None, HelloKind::New) => self.open(hello, version)?,
            (Some(_), HelloKind::New) => {
                return Err((RefusalKind::Busy, "busy with another session".into()));
            }
            (_, HelloKind::Join) => {
                let detail = "session unknown there: it was restarted, or is another".into();
                return Err((RefusalKind::UnknownSession, detail));
            }
        };
        let (worker, workers) = (hello.worker, welcome.settled.workers);
        if worker >= workers {
            let detail = format!("connection {worker} of a session with {workers}, from 0");
            return Err((RefusalKind::Workers, detail));
        }
        // Every link has a connection at least, and for each there is something to remember.
        if hello.link >= MAX_WORKERS {
            let detail = format!("link {} of {MAX_WORKERS} at most, from 0", hello.link);
            return Err((RefusalKind::Workers, detail));
        }
        Ok(welcome)
    }

    /// The highest version that both speak, if the hello is meant for this end.
    fn identify(&self, hello: &Hello) -> Result<u16, (RefusalKind, String)> {
        let Listener { versions: ours, name, role, .. } = &self.listener;
        let theirs = &hello.versions;
        let version = *ours.end().min(theirs.end());
        if version < *ours.start().max(theirs.start()) {
            let [a, b, c, d] = [theirs.start(), theirs.end(), ours.start(), ours.end()];
            let detail = format!("protocol versions {a} to {b}, it speaks {c} to {d}");
            return Err((RefusalKind::Version, detail));
        }
        if hello.name != *name {
            let detail = format!("it is named {name:?}, not {:?}", hello.name);
            return Err((RefusalKind::Name, detail));
        }
        if hello.role != role.opposite() {
            let detail = match role {
                Role::Sender => "both ends transmit",
                Role::Receiver => "both ends receive",
            };
            return Err((RefusalKind::Role, detail.into()));
        }
        Ok(version)
    }

    fn open(&self, hello: &Hello, version: u16) -> Result<Welcome, (RefusalKind, String)> {
        let Listener { wish: ours, incarnation, role, .. } = self.listener;
        let settled = match role {
            Role::Sender => settle(ours, hello.wish()),
            Role::Receiver => settle(hello.wish(), ours),
        };
        let settled = settled.ok_or_else(|| {
            let (here, there) = (ours.window_bytes, hello.window_bytes);
            (RefusalKind::Window, format!("windows of {here} and {there} bytes are too small"))
        })?;
        Ok(Welcome { version, incarnation, settled })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::liveness::Pace;
    use proptest::prelude::*;

    const WISH: Wish = Wish {
        foot_bytes: 1 << 20,
        workers: 4,
        window_bytes: 64 << 20,
        verify: false,
        pace: Pace { more_a_second: 0 },
    };

    fn gate() -> Gate {
        Gate::new(Listener {
            wish: Wish { workers: 64, ..WISH },
            name: "tank".into(),
            versions: 2..=4,
            incarnation: [9; 16],
            role: Role::Receiver,
        })
    }

    fn hello(kind: HelloKind, session: u8) -> Hello {
        Hello {
            versions: 1..=3,
            kind,
            session: SessionId([session; 16]),
            role: Role::Sender,
            worker: 0,
            link: 0,
            workers: WISH.workers,
            foot_bytes: WISH.foot_bytes,
            window_bytes: WISH.window_bytes,
            verify: true,
            pace: WISH.pace,
            name: "tank".into(),
        }
    }

    fn welcomed(answer: Answer) -> Welcome {
        match answer {
            Answer::Welcome(welcome) => welcome,
            Answer::Refuse(refusal) => panic!("refused: {refusal:?}"),
        }
    }

    fn refused(answer: Answer) -> RefusalKind {
        match answer {
            Answer::Refuse(refusal) => refusal.reason,
            Answer::Welcome(welcome) => panic!("welcomed: {welcome:?}"),
        }
    }

    #[test]
    fn rule_09_hello_says_new_or_join_and_a_join_to_an_unknown_session_is_refused() {
        let mut gate = gate();
        let join = gate.decide(&hello(HelloKind::Join, 1));
        assert_eq!(refused(join), RefusalKind::UnknownSession);
        let first = welcomed(gate.decide(&hello(HelloKind::New, 1)));
        assert_eq!(first.version, 3);
        assert_eq!(first.incarnation, [9; 16]);
        assert_eq!((first.settled.workers, first.settled.verify), (4, true));
        assert_eq!(welcomed(gate.decide(&hello(HelloKind::Join, 1))), first);
        let other = gate.decide(&hello(HelloKind::Join, 2));
        assert_eq!(refused(other), RefusalKind::UnknownSession);
    }

    #[test]
    fn rule_09_new_with_the_same_id_is_idempotent() {
        let mut gate = gate();
        let first = welcomed(gate.decide(&hello(HelloKind::New, 1)));
        let changed = Hello { workers: 9, foot_bytes: 1 << 16, ..hello(HelloKind::New, 1) };
        assert_eq!(welcomed(gate.decide(&changed)), first);
    }

    #[test]
    fn rule_09_a_strangers_new_is_told_busy_and_disturbs_nothing() {
        let mut gate = gate();
        let first = welcomed(gate.decide(&hello(HelloKind::New, 1)));
        assert_eq!(refused(gate.decide(&hello(HelloKind::New, 2))), RefusalKind::Busy);
        assert_eq!(welcomed(gate.decide(&hello(HelloKind::Join, 1))), first);
    }

    #[test]
    fn versions_must_overlap_and_names_be_equal_and_roles_opposite() {
        let good = hello(HelloKind::New, 1);
        let newer = Hello { versions: 5..=6, ..good.clone() };
        let older = Hello { versions: 1..=1, ..good.clone() };
        let named = Hello { name: "pool".into(), ..good.clone() };
        let receiver = Hello { role: Role::Receiver, ..good };
        assert_eq!(refused(gate().decide(&newer)), RefusalKind::Version);
        assert_eq!(refused(gate().decide(&older)), RefusalKind::Version);
        assert_eq!(refused(gate().decide(&named)), RefusalKind::Name);
        assert_eq!(refused(gate().decide(&receiver)), RefusalKind::Role);
    }

    #[test]
    fn there_are_no_more_links_than_connections_can_be() {
        let far = Hello { link: MAX_WORKERS, ..hello(HelloKind::New, 1) };
        assert_eq!(refused(gate().decide(&far)), RefusalKind::Workers);
        let last = Hello { link: MAX_WORKERS - 1, ..far };
        welcomed(gate().decide(&last));
    }

    #[test]
    fn identity_is_asked_before_busy() {
        let mut gate = gate();
        welcomed(gate.decide(&hello(HelloKind::New, 1)));
        let stranger = Hello { name: "pool".into(), ..hello(HelloKind::New, 2) };
        assert_eq!(refused(gate.decide(&stranger)), RefusalKind::Name);
        let both = Hello { role: Role::Receiver, ..stranger };
        assert_eq!(refused(gate.decide(&both)), RefusalKind::Name);
        let all = Hello { versions: 7..=7, ..both };
        assert_eq!(refused(gate.decide(&all)), RefusalKind::Version);
    }

    #[test]
    fn a_connection_beyond_the_settled_workers_is_refused() {
        let mut gate = gate();
        let small = 6 * (64 << 10);
        let first = Hello { window_bytes: small, ..hello(HelloKind::New, 1) };
        assert_eq!(welcomed(gate.decide(&first)).settled.workers, 1);
        let second = Hello { worker: 1, kind: HelloKind::Join, ..first };
        assert_eq!(refused(gate.decide(&second)), RefusalKind::Workers);
    }

    proptest! {
        #[test]
        fn a_refused_hello_opens_nothing(
            join in any::<bool>(),
            version in 1..8_u16,
            named in any::<bool>(),
            sends in any::<bool>(),
            worker in 0..8_u16,
            window_bytes in 0..4_u64 << 20,
        ) {
            let mut gate = gate();
            let kind = if join { HelloKind::Join } else { HelloKind::New };
            let name = if named { "tank" } else { "" }.to_owned();
            let role = if sends { Role::Sender } else { Role::Receiver };
            let versions = version..=version;
            let one = hello(kind, 1);
            let odd = Hello { versions, name, role, worker, window_bytes, ..one };
            let answer = gate.decide(&odd);
            let after = gate.decide(&hello(HelloKind::New, 2));
            match answer {
                Answer::Welcome(_) => prop_assert_eq!(refused(after), RefusalKind::Busy),
                Answer::Refuse(_) => prop_assert_eq!(welcomed(after).settled.workers, 4),
            }
        }
    }
}
