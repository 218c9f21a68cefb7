"""The suite's cases by what they are about."""

PATTERNS = (
    ("DTLS", "*DTLS* SendSplitAlert-* StrayChangeCipherSpec"),
    ("QUIC", "*QUIC*"),
    ("TLS 1.0 and 1.1", "*-TLS1 *-TLS11 TLS1-* TLS11-* [^M]*-TLS1-* [^M]*-TLS11-* *EnciphermentTLS1 *EnciphermentTLS11"),
    (
        "drafts and relics",
        "*NPN* *NextProtocol* ALPNServer-Preferred-* *ChannelID* *ALPS* *V2ClientHello-* *JDK11* PAKE-* *TrustAnchor* "
        "ServerPadding* SRTP-* TLS-HintMismatch-* *TicketFlags* *ResumptionAcrossNames RetainOnlySHA256-* "
        "CBCRecordSplitting* TLS-TLS12-*3DES*",
    ),
    ("Encrypted Client Hello", "TLS-ECH-*"),
    ("compliance policies", "Compliance-*"),
    ("raw public keys", "ServerCertificateType-* ClientCertificateType-* *RawPublicKey* *-CertificateType-*"),
    ("credential selection", "CertificateSelection-* CheckLeafCurve* CertificateCipherMismatch*"),
    ("chain verification", "CertificateVerification*"),
    ("OCSP and SCT", "*OCSP* *SCT* SignedCertificateTimestamp* SkipCertificateStatus*"),
    ("external PSKs", "PSK-*"),
    ("TLS 1.2 PSK suites", "*_PSK_* *-PSK_* *PSKHint* ClientAuth-*PSK*"),
    ("early data", "*EarlyData* TLS13-MaxEarlyData-*"),
    ("renegotiation", "*Renego* *-HelloRequest-* StrayHelloRequest* BadHelloRequest* NoLegacyServerConnect"),
    ("False Start", "FalseStart-* NoFalseStart-*"),
    ("certificate compression", "*CertCompression*"),
    ("delegated credentials", "DelegatedCredentials-*"),
    (
        "signatures",
        "*-Sign-* *-Verify-* *-SignDefault-* *-VerifyDefault-* *-InvalidSignature-* *-NoSign-* *-NoVerify-* Verify-* "
        "VerifyPreferences-* *SignatureType* *Auth-PeerVerifyPrefs-* *Auth-Enforced* *Auth-*Fallback* BadECDSA-* "
        "RSA-PSS-* RejectPSSKeyType-* NoCommon*Algorithms* Agree-Digest-* Ed25519DefaultDisable-* FilterExtraAlgorithms "
        "ECDSACurveMismatch-* CheckECDSACurve-* *KeyUsage-* *SkipCertificateVerify*",
    ),
    (
        "client certificates",
        "*ClientAuth-* *ClientCert* *CertReq* RequireAnyClientCertificate-* SkipClientCertificate* *CertificateAuthorities*",
    ),
    ("certificate messages", "*Certificate* *Certs SendReceiveIntermediate-* *OnIntermediate*"),
    (
        "groups and key shares",
        "*Curve* *MLKEM* *KeyShare* PointFormat-* *PQGroups* PostQuantum* UnauthenticatedECDH RSAEphemeralKey",
    ),
    (
        "cipher suites",
        "TLS-TLS12-* TLS-TLS13-* CipherNegotiation-* *CipherSuite* *CipherPreference* NoSharedCipher* *BogusCipher* "
        "UnknownCipher* ServerCipherFilter-* *CBCPadding* BadRSAClientKeyExchange-* Null-* SendClientVersion-RSA",
    ),
    ("resumption and tickets", "Resume* *Ticket* *SessionID* *Resumption* *PSKIdentity* TLS13-SendNoKEMModes*"),
    ("versions", "*Version* *FallbackSCSV* Downgrade-* NoSSL3-* DisableEverything"),
    ("HelloRetryRequest", "*HelloRetryRequest* *SecondClientHello* *SecondServerHello* TLS13-HRR-* SendHalfHelloRequest*"),
    (
        "extensions",
        "ALPN* *ServerName* *SNI* *Extension* *ExtendedMasterSecret* EMS-* ExtensionTrailingData-* GREASE-* "
        "OmitExtensions-* MaxSendFragment-*",
    ),
    ("key updates", "*KeyUpdate*"),
    ("exporters and tls-unique", "Export* *KeyingMaterial* TLSUnique-*"),
    ("shutdown and alerts", "Shutdown-* Unclean-* *Alert*"),
    ("callbacks", "*Callback* Server-DDoS-*"),
    ("records and flights", "*"),
)
FAMILIES = tuple((title, tuple(patterns.split())) for title, patterns in PATTERNS)
"""A title and the patterns of its names; the first family that matches has the case."""
