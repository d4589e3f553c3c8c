//! Whom a socket belongs to: a session, through its [`Uplink`], or whoever else is to speak over this very edge, such as
//! `examples/echo_server.rs`.
//!
//! Which of them is known when the code is compiled: no frame goes through a dynamic call.

use std::pin::Pin;

use actix::dev::ToEnvelope;
use actix::prelude::SendError;
use actix::{Actor, Addr, Handler};
use actix_http::ws;
use bytes::Bytes;
use sessile_actors::session::actor::{FrameArrived, SignOfLife, SinkClosed, SinkReady};
use sessile_actors::session::sink::{OutFrame, SinkEnd, Uplink};
use tracing::error;

use super::pump::Report;

/// A whole message, as it came or as it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataMessage {
    /// UTF-8: the reader has judged what came.
    Text(Bytes),
    /// Comes only where [`FrameLimits::binary`](crate::http::frame_guard::FrameLimits) takes it.
    Binary(Bytes),
}

/// What a peer pushes: one message of its own making.
pub trait Frame: Send + 'static {
    /// The payload's bytes.
    fn bytes(&self) -> usize;

    /// What the codec takes. None: it can't be sent, and the socket is cut.
    fn encode(self) -> Option<ws::Message>;
}

impl Frame for DataMessage {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(payload) | Self::Binary(payload) => payload.len(),
        }
    }

    fn encode(self) -> Option<ws::Message> {
        match self {
            Self::Text(text) => text.try_into().ok().map(ws::Message::Text),
            Self::Binary(payload) => Some(ws::Message::Binary(payload)),
        }
    }
}

impl Frame for OutFrame {
    fn bytes(&self) -> usize {
        self.text.len()
    }

    fn encode(self) -> Option<ws::Message> {
        let message = DataMessage::Text(self.text).encode();
        if message.is_none() {
            error!(session = %self.tag, "a frame of ours is not UTF-8; the socket is cut");
        }
        message
    }
}

/// What became of a message to the peer.
pub enum Delivery {
    /// The peer has it.
    Taken,
    /// The peer's mailbox is full. It has the message when this is done; the client is not read before.
    Full(Pin<Box<dyn Future<Output = ()>>>),
    /// There is no peer any more: the socket ends.
    Gone,
}

/// The owner of a socket. It is told of room and of the end by [`Report`].
pub trait Peer: Report + 'static {
    /// What it pushes.
    type Frame: Frame;

    /// Whether a frame is for this client. Nothing of a turn is sent that holds one of someone else's.
    fn owns(&self, frame: &Self::Frame) -> bool;

    /// A message came. It cost one grant.
    fn arrived(&self, message: DataMessage) -> Delivery;

    /// A ping or a pong came.
    fn alive(&self) -> Delivery;
}

/// Hands a message to an actor.
pub fn deliver<A, M>(to: &Addr<A>, message: M) -> Delivery
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: actix::Message<Result = ()> + Send + 'static,
{
    match to.try_send(message) {
        Ok(()) => Delivery::Taken,
        Err(SendError::Full(message)) => {
            let sending = to.send(message);
            Delivery::Full(Box::pin(async move {
                // An error means that the actor is gone: the next message, or its dropped handle, ends the socket.
                let _ = sending.await;
            }))
        }
        Err(SendError::Closed(_)) => Delivery::Gone,
    }
}

impl Peer for Uplink {
    type Frame = OutFrame;

    fn owns(&self, frame: &OutFrame) -> bool {
        frame.tag == self.tag
    }

    fn arrived(&self, message: DataMessage) -> Delivery {
        let generation = self.generation;
        match message {
            DataMessage::Text(text) => deliver(&self.session, FrameArrived { generation, text }),
            // Not for a session: the reader refuses it, and a socket whose limits say otherwise ends here.
            DataMessage::Binary(_) => Delivery::Gone,
        }
    }

    fn alive(&self) -> Delivery {
        let generation = self.generation;
        deliver(&self.session, SignOfLife { generation })
    }
}

impl Report for Uplink {
    fn ready(&self) {
        let generation = self.generation;
        // Not lost where the mailbox is full: the session may be waiting for nothing else. The ledger reports once for
        // each time that the session filled it, so there are no more of these than that.
        if let Delivery::Full(sending) = deliver(&self.session, SinkReady { generation }) {
            actix_rt::spawn(sending);
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the death notice of a socket: sent once, and never lost"
    )]
    fn closed(&self, end: SinkEnd) {
        self.session.do_send(SinkClosed {
            generation: self.generation,
            end,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use actix::{ActorContext as _, Context, Message};

    use super::*;

    #[actix_rt::test]
    async fn what_a_full_mailbox_refuses_comes_later_and_nothing_comes_to_who_is_gone() {
        let counted = Rc::new(Cell::new(0));
        let counter = Counter(Rc::clone(&counted)).start();
        let (mut taken, mut waiting) = (0, None);
        while waiting.is_none() {
            match deliver(&counter, Count { is_last: false }) {
                Delivery::Taken => taken += 1,
                Delivery::Full(sending) => waiting = Some(sending),
                Delivery::Gone => panic!("it still counts"),
            }
        }
        assert_eq!(counted.get(), 0, "nothing was handled so far");
        waiting.unwrap().await;
        assert_eq!(counted.get(), taken + 1);
        counter.send(Count { is_last: true }).await.unwrap();
        assert!(matches!(deliver(&counter, Count { is_last: false }), Delivery::Gone));
    }

    struct Counter(Rc<Cell<usize>>);

    impl Actor for Counter {
        type Context = Context<Self>;
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    struct Count {
        is_last: bool,
    }

    impl Handler<Count> for Counter {
        type Result = ();

        fn handle(&mut self, Count { is_last }: Count, context: &mut Context<Self>) {
            self.0.set(self.0.get() + 1);
            if is_last {
                context.terminate();
            }
        }
    }
}
