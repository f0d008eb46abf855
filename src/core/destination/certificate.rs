//! A certificate that is not accepted: what is wrong with it, and what to do.

use super::told::shortened;

/// What is wrong with a certificate. In the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// It is for another host.
    WrongHost,
    /// It holds no longer.
    Expired,
    /// It does not hold yet.
    NotYet,
    /// It was made by itself.
    SelfSigned,
    /// Nobody whom this machine knows vouches for it.
    Untrusted,
    /// Whoever made it took it back.
    Revoked,
    /// Its keys or hashes are too weak.
    Weak,
}

/// A certificate that is not accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Doubtful {
    /// What is wrong with it; nothing if nobody knows.
    pub doubts: Vec<Doubt>,
    /// The hosts it is for.
    pub hosts: Vec<String>,
    /// Who made it.
    pub issuer: String,
}

impl Doubtful {
    /// What is wrong with it, whose it is, and what to do. `host` is where it was shown.
    pub(super) fn words(&self, host: &str) -> String {
        let mut doubts = self.doubts.clone();
        doubts.sort_unstable();
        doubts.dedup();
        // Whatever made itself is unknown, too.
        if doubts.contains(&Doubt::SelfSigned) {
            doubts.retain(|doubt| *doubt != Doubt::Untrusted);
        }
        if doubts.is_empty() {
            return format!("the certificate of {host} is not accepted: check the address, and the box's clock");
        }
        let wrong: Vec<_> = doubts.iter().map(|doubt| self.wrong(*doubt, host)).collect();
        let first = doubts.first().map_or("", |doubt| to_do(*doubt));
        format!("the certificate of {host} is not accepted: {}. {first}", wrong.join(", and "))
    }

    fn wrong(&self, doubt: Doubt, host: &str) -> String {
        match doubt {
            Doubt::WrongHost if self.hosts.is_empty() => format!("it is for another host than {host}"),
            Doubt::WrongHost => {
                let more = if self.hosts.len() > 3 { " and others" } else { "" };
                let hosts: Vec<_> = self.hosts.iter().take(3).map(|host| shortened(host, 80)).collect();
                format!("it is for another host ({}{more})", hosts.join(", "))
            }
            Doubt::Expired => "it has expired".to_owned(),
            Doubt::NotYet => "it is not valid yet".to_owned(),
            Doubt::SelfSigned => "it is self-signed, so nobody vouches for it".to_owned(),
            Doubt::Untrusted if self.issuer.is_empty() => {
                "it is untrusted: this box does not know who made it".to_owned()
            }
            Doubt::Untrusted => {
                format!("it is untrusted: this box does not know who made it ({})", shortened(&self.issuer, 80))
            }
            Doubt::Revoked => "whoever made it has taken it back".to_owned(),
            Doubt::Weak => "it is made in a way that is no longer safe".to_owned(),
        }
    }
}

const fn to_do(doubt: Doubt) -> &'static str {
    match doubt {
        Doubt::WrongHost => "Check the address: the platform gives it with the host that the certificate is for",
        Doubt::Expired => "If the box's clock is right, whoever runs the platform has to renew it",
        Doubt::NotYet => "The box's clock is behind, most likely: look at it",
        Doubt::SelfSigned => {
            "A server of your own needs a certificate of an authority that everybody knows; within your own network rtmp:// does"
        }
        Doubt::Untrusted => {
            "Either something in the network stands between the box and the platform, or the platform's certificate is not \
             complete, or the box's ca-certificates are old (`motherstream doctor`)"
        }
        Doubt::Revoked | Doubt::Weak => "Whoever runs the platform has to replace it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(doubts: &[Doubt]) -> String {
        let hosts = ["other.example", "www.other.example", "c", "d"].map(str::to_owned).to_vec();
        Doubtful { doubts: doubts.to_vec(), hosts, issuer: "CN=Test CA".to_owned() }.words("live.example.com")
    }

    #[test]
    fn each_fault_of_a_certificate_is_told_apart_with_what_to_do() {
        for (doubt, wrong, advice) in [
            (
                Doubt::WrongHost,
                "for another host (other.example, www.other.example, c and others)",
                "Check the address",
            ),
            (Doubt::Expired, "has expired", "has to renew it"),
            (Doubt::NotYet, "not valid yet", "clock is behind"),
            (Doubt::SelfSigned, "self-signed", "within your own network rtmp:// does"),
            (Doubt::Untrusted, "untrusted: this box does not know who made it (CN=Test CA)", "ca-certificates"),
            (Doubt::Revoked, "taken it back", "replace"),
            (Doubt::Weak, "no longer safe", "replace"),
        ] {
            let words = words(&[doubt]);
            assert!(words.starts_with("the certificate of live.example.com is not accepted: "), "{words}");
            assert!(words.contains(wrong) && words.contains(advice), "{words}");
        }
    }

    #[test]
    fn several_faults_are_told_together_and_the_first_one_mended_first() {
        let words = words(&[Doubt::Untrusted, Doubt::Expired, Doubt::SelfSigned, Doubt::WrongHost]);
        assert!(words.contains("for another host") && words.contains("has expired, and it is self-signed"), "{words}");
        assert!(!words.contains("untrusted") && words.contains("Check the address"), "{words}");
        assert!(Doubtful::default().words("h").contains("the box's clock"));
    }
}
