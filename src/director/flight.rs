//! Requests on their way to the disk: what is answered when they arrive there, and the way back if they do not.

use super::{
    AccountsPort, IngestPort, MediaPort, StorePort,
    request::{Flight, Message, OrderAnswer, OrderError, Promise, Request, order_error},
    stored::{history_change, is_about_show, show_changes},
    task::Task,
};
use crate::{
    core::{
        account::may_hold_key,
        moment::Moment,
        origin::Origin,
        queue::{Action, Event, Order, Outcome, Queue, Verdict},
    },
    ingest::{PublishRequest, PublishVerdict},
    store::{Change, StoreError},
};

/// Why a connection is closed whose place another one took that is gone already.
const TAKEN_OVER: &str =
    "another encoder with your stream key took your place and was gone at once; start your stream again";

impl<M: MediaPort, I: IngestPort, S: StorePort, A: AccountsPort, N: Fn() -> Moment> Task<M, I, S, A, N> {
    /// Applies the requests that wait, and sends what they changed to the disk.
    pub(super) fn take_off(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let base = self.queue.clone();
        let (mut promises, mut changes, mut actions) = (Vec::new(), Vec::new(), Vec::new());
        let mut touched = false;
        for request in std::mem::take(&mut self.requests).into_iter().filter(|request| !request.is_abandoned()) {
            let (promise, outcome) = match request {
                Request::Publish(request) => self.publish(request),
                Request::Message(Message::Order { order, answer }) => self.order(order, answer),
                Request::Message(Message::LookAgain) => continue,
                Request::Message(Message::BeginShow { answer }) => {
                    changes.extend(show_changes(true, false));
                    promises.push(Promise::BeginShow { answer });
                    continue;
                }
            };
            promises.extend(promise);
            let Some(outcome) = outcome else { continue };
            touched |= outcome.changed;
            for action in outcome.actions {
                match action {
                    Action::History(turn) => changes.push(history_change(&turn)),
                    action => actions.push(action),
                }
            }
        }
        if promises.is_empty() {
            // Nothing was granted. What the clock did meanwhile is a fact.
            self.dirty |= touched;
            self.rows.append(&mut changes);
            for action in actions {
                self.act(action);
            }
            return;
        }
        changes.extend(self.queue_change());
        self.held.extend(actions);
        let (commit, since) = (self.store.commit(changes), (self.now)());
        self.flight = Some(Flight { commit, since, promises, base, facts: Vec::new(), acted: false });
    }

    fn publish(&mut self, request: PublishRequest) -> (Option<Promise>, Option<Outcome>) {
        let PublishRequest { connection, app, key, address, verdict: answer } = request;
        let owner = self.accounts.key_owner(&key);
        let refusal = if app == self.app {
            match &owner {
                None => Some(
                    self.accounts
                        .trouble()
                        .unwrap_or_else(|| "nobody has this stream key; copy it again from your page".to_owned()),
                ),
                Some(owner) => owner.refusal.clone(),
            }
        } else {
            // Who puts the key there finds it in no log.
            let asked = if may_hold_key(&app) { "[key]" } else { app.as_str() };
            Some(format!(
                "the application is called {:?} here, not {asked:?}; copy the server address from your page",
                self.app
            ))
        };
        if let Some(reason) = refusal {
            if let Some(owner) = owner {
                self.note_refusal(owner.id, reason.clone());
            }
            // The encoder may be gone already.
            let _gone = answer.send(PublishVerdict::Refuse { reason });
            return (None, None);
        }
        let Some(owner) = owner else { return (None, None) };
        let now = (self.now)();
        let current = self.queue.connection_of(owner.id).cloned();
        let event = Event::Publish {
            account: owner.id,
            name: owner.name.into(),
            connection: connection.clone(),
            origin: Origin::of(address),
            current_alive: current.is_some_and(|current| self.is_alive(&current, now)),
        };
        let outcome = self.queue.apply(event, now);
        let promise = match &outcome.verdict {
            Verdict::Accepted { replaces } => {
                let replaces = replaces.clone();
                Some(Promise::Publish { account: owner.id, connection, replaces, answer })
            }
            Verdict::Refused(refusal) => {
                let reason = refusal.to_string();
                self.note_refusal(owner.id, reason.clone());
                let _gone = answer.send(PublishVerdict::Refuse { reason });
                None
            }
            Verdict::Noted | Verdict::Done { .. } | Verdict::Denied(_) => None,
        };
        (promise, Some(outcome))
    }

    fn order(&mut self, order: Order, answer: OrderAnswer) -> (Option<Promise>, Option<Outcome>) {
        let lifted = if let Order::LiftHoldOff(account) = &order { Some(*account) } else { None };
        let event = Event::Order { command: self.fresh_command(), order };
        let outcome = self.queue.apply(event, (self.now)());
        if let (Some(account), Verdict::Done { .. }) = (lifted, &outcome.verdict) {
            // "You can join again in ten minutes" is over.
            self.forget_refusal(account);
        }
        let promise = match &outcome.verdict {
            Verdict::Done { block } => Some(Promise::Order { block: *block, answer }),
            Verdict::Denied(denial) => {
                let _gone = answer.send(Err(order_error(denial)));
                None
            }
            Verdict::Noted | Verdict::Accepted { .. } | Verdict::Refused(_) => None,
        };
        (promise, Some(outcome))
    }

    /// The commit has ended: yes to all and act, or no to all and go back.
    pub(super) fn land(&mut self, result: Result<(), StoreError>) {
        let Some(mut flight) = self.flight.take() else { return };
        match result {
            Ok(()) => {
                self.committed = (self.now)();
                let late =
                    |promise: &mut Promise| matches!(promise, Promise::BeginShow { answer } if answer.is_closed());
                if flight.promises.extract_if(.., late).count() > 0 {
                    // Whoever ordered it was told that it was not done, perhaps minutes ago: nothing goes out by that.
                    self.rows.extend(show_changes(self.show, self.ended_by_hand));
                    self.dirty = true;
                }
                let mut ordered = false;
                for promise in &flight.promises {
                    if matches!(promise, Promise::BeginShow { .. }) {
                        self.show_ordered(true);
                        // An end of meanwhile, that nobody ordered, is over; the disk has the begin already.
                        self.rows.retain(|row| !is_about_show(row));
                    }
                    ordered |= !matches!(promise, Promise::Publish { .. });
                }
                // Who gave an order and is answered sees what was done.
                if ordered {
                    self.publish_snapshot();
                }
                for promise in flight.promises {
                    self.keep(promise);
                }
                // On a slow disk one commit follows another without a pause: everybody sees each.
                self.news = false;
                self.publish_snapshot();
                self.release();
            }
            Err(error) => {
                tracing::debug!(%error, "requests refused");
                for promise in flight.promises {
                    self.break_promise(promise, &error);
                }
                self.go_back(flight.base, flight.facts, flight.acted);
            }
        }
    }

    /// An order about the show also decides about that of before the start.
    pub(super) fn show_ordered(&mut self, on: bool) {
        self.show_is(on);
        if self.dark.is_some() {
            // First, so that no take of meanwhile begins what is ordered to end.
            self.media.set_show(on);
            self.end_darkness(None);
        }
    }

    fn keep(&mut self, promise: Promise) {
        match promise {
            Promise::Publish { account, connection, replaces, answer } => {
                // Whoever is let in is refused no more.
                self.forget_refusal(account);
                if let Err(PublishVerdict::Accept { replaces }) = answer.send(PublishVerdict::Accept { replaces }) {
                    // It is gone before it knew that it was let in.
                    self.fact(Event::Unpublish(connection));
                    // And nobody has ended the one that it took over from, which has no place any more.
                    if let Some(old) = replaces {
                        self.note_refusal(account, TAKEN_OVER.to_owned());
                        self.disconnects.push(self.ingest.disconnect(old, TAKEN_OVER.to_owned()));
                    }
                }
            }
            Promise::Order { block, answer } => drop(answer.send(Ok(block))),
            Promise::BeginShow { answer } => {
                self.show_ordered(true);
                self.media.set_show(true);
                drop(answer.send(Ok(self.queue.block())));
            }
        }
    }

    fn break_promise(&mut self, promise: Promise, error: &StoreError) {
        match promise {
            Promise::Publish { account, answer, .. } => {
                let reason = "the box cannot store your place in the queue at the moment; try again".to_owned();
                self.note_refusal(account, reason.clone());
                let _gone = answer.send(PublishVerdict::Refuse { reason });
            }
            Promise::Order { answer, .. } | Promise::BeginShow { answer } => {
                let error = match error {
                    StoreError::Stopped => OrderError::Stopping,
                    error => OrderError::Store(error.to_string()),
                };
                let _gone = answer.send(Err(error));
            }
        }
    }

    /// The requests did not happen, the facts since did.
    fn go_back(&mut self, base: Queue, facts: Vec<(Event, Moment)>, acted: bool) {
        let tried = std::mem::replace(&mut self.queue, base);
        self.held.clear();
        self.held_fact = None;
        self.rows.retain(|row| !matches!(row, Change::AppendHistory(_)));
        self.dirty = true;
        for (event, at) in facts {
            for action in self.queue.apply(event, at).actions {
                match action {
                    Action::History(turn) => self.rows.push(history_change(&turn)),
                    Action::Disconnect { .. } => self.act(action),
                    // Told anew below.
                    _ if acted => {}
                    action => self.act(action),
                }
            }
        }
        if acted {
            self.media.force_slate(self.queue.forced_slate());
            let actions = self.queue.supersede(&tried, (self.now)());
            self.tell_cued();
            for action in actions {
                self.act(action);
            }
        }
    }
}
