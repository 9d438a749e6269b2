//! What operators alone may ask: of workers, of tenants, of tokens, and of who is in the grid.

use wasmgrid_proto::{
    Allowance, AuditEntry, MemberStatus, Micros, Resource, TokenGives, TokenStatus,
    wire::{AuthorityRequest, Reply, Request, Role, TokenRequest},
};

use crate::{
    Client, ClientError,
    client::{done, unexpected},
};

impl Client {
    /// Gives a worker nothing new and asks back what it has not begun; for operators.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such worker or the role does not allow it.
    pub async fn drain(&self, name: &str) -> Result<(), ClientError> {
        done(self.ask(Request::Drain { name: name.into() }).await?)
    }

    /// Gives a worker nothing new until that is taken back with `cordoned` false, which also takes
    /// back a drain. It keeps what it has. For operators.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such worker or the role does not allow it.
    pub async fn cordon(&self, name: &str, cordoned: bool) -> Result<(), ClientError> {
        done(self.ask(Request::Cordon { name: name.into(), cordoned }).await?)
    }

    /// Says how much a tenant may have of something. For operators.
    ///
    /// # Errors
    /// [`ClientError::Api`], where the role does not allow it.
    pub async fn set_quota(
        &self,
        tenant: &str,
        resource: Resource,
        allowed: Allowance,
    ) -> Result<(), ClientError> {
        done(self.ask(Request::SetQuota { tenant: tenant.into(), resource, allowed }).await?)
    }

    /// Clients and operators that have joined; for operators.
    ///
    /// # Errors
    /// [`ClientError::Api`], where the role does not allow it.
    pub async fn members(&self) -> Result<Vec<MemberStatus>, ClientError> {
        let mut all = Vec::<MemberStatus>::new();
        loop {
            let after = all.last().map(|last| (last.role, last.name.clone()));
            match self.ask(Request::Members { after }).await? {
                Reply::Members { members, more } => {
                    let is_last = more == 0 || members.is_empty();
                    all.extend(members);
                    if is_last {
                        return Ok(all);
                    }
                }
                _ => return Err(unexpected()),
            }
        }
    }

    /// Takes a worker, client or operator out of the grid: its links end, and it comes back with a
    /// new token alone. For operators.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such member, it is the asker itself, or the role does
    /// not allow it; [`ClientError::Lost`], where the link was lost in between.
    pub async fn remove(&self, role: Role, name: &str) -> Result<(), ClientError> {
        done(self.ask(Request::RemoveMember { role, name: name.into() }).await?)
    }

    /// Makes a token with which machines join, and get a name, a tenant or labels if it gives them.
    /// From then on the grid counts only labels of certificates for the keys of such labels. For
    /// operators.
    ///
    /// # Errors
    /// [`ClientError::Api`], if the role does not allow it, or the token cannot give this;
    /// [`ClientError::Lost`], if the link was lost in between: a token may then exist that nobody
    /// knows, until it expires.
    pub async fn create_token(
        &self,
        token: TokenRequest,
        gives: TokenGives,
    ) -> Result<String, ClientError> {
        match self.ask(Request::CreateToken { token, gives }).await? {
            Reply::Token(token) => Ok(token),
            _ => Err(unexpected()),
        }
    }

    /// The tokens whose time is not over, also those that are used up or revoked; for operators.
    ///
    /// # Errors
    /// [`ClientError::Api`], where the role does not allow it.
    pub async fn tokens(&self) -> Result<Vec<TokenStatus>, ClientError> {
        let mut all = Vec::<TokenStatus>::new();
        loop {
            let after = all.last().map(|last| last.token);
            match self.ask(Request::Tokens { after }).await? {
                Reply::Tokens { tokens, more } => {
                    let is_last = more == 0 || tokens.is_empty();
                    all.extend(tokens);
                    if is_last {
                        return Ok(all);
                    }
                }
                _ => return Err(unexpected()),
            }
        }
    }

    /// Takes a token back: nobody joins with it any more. For operators.
    ///
    /// # Errors
    /// [`ClientError::Api`], where there is no such token or the role does not allow it.
    pub async fn revoke_token(&self, token: u64) -> Result<(), ClientError> {
        done(self.ask(Request::RevokeToken { token }).await?)
    }

    /// Entries of the audit log, the oldest first: those with numbers over `after`, from the date
    /// `since` on, of callers of the name `who`. A page may have few entries, or none; the second value
    /// is the `after` of the next page, and `None` if there is none. For operators.
    ///
    /// # Errors
    /// [`ClientError::Api`], if the role does not allow it.
    pub async fn audit(
        &self,
        after: u64,
        since: Option<Micros>,
        who: Option<&str>,
    ) -> Result<(Vec<AuditEntry>, Option<u64>), ClientError> {
        let who = who.map(String::from);
        match self.ask(Request::Audit { after, since, who }).await? {
            Reply::AuditPage { entries, next } => Ok((entries, next)),
            _ => Err(unexpected()),
        }
    }

    /// Gives the grid another authority, beside which the one before is trusted; for operators.
    ///
    /// # Errors
    /// [`ClientError::Api`], where an earlier one is still trusted or the role does not allow it;
    /// [`ClientError::Lost`], where the link was lost before the answer.
    pub async fn replace_authority(&self) -> Result<(), ClientError> {
        done(self.ask(Request::Authority(AuthorityRequest::Replace)).await?)
    }

    /// Has the grid trust the authority that was replaced no more; for operators.
    ///
    /// # Errors
    /// [`ClientError::Api`], where members have certificates of it and it is not forced, where there
    /// is none, or the role does not allow it.
    pub async fn retire_authority(&self, force: bool) -> Result<(), ClientError> {
        done(self.ask(Request::Authority(AuthorityRequest::Retire { force })).await?)
    }
}
