PRAGMA application_id = 2003268196;
PRAGMA user_version = 1;
CREATE TABLE fence (epoch INTEGER NOT NULL) STRICT;
CREATE TABLE commits (
    first INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    sum BLOB NOT NULL,
    records BLOB NOT NULL
) STRICT;
CREATE TABLE segments (
    job INTEGER NOT NULL,
    log INTEGER NOT NULL,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    epoch INTEGER,
    staged INTEGER,
    sum BLOB NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX segments_by_place ON segments (job, log, first);
CREATE INDEX segments_staged ON segments (epoch, staged) WHERE epoch IS NOT NULL;
CREATE TABLE dropped (
    job INTEGER NOT NULL,
    log INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (job, log, first)
) STRICT;
CREATE VIEW live AS SELECT * FROM segments AS s WHERE NOT EXISTS (
    SELECT 1 FROM dropped AS d
    WHERE d.job = s.job AND d.log = s.log AND d.first <= s.first AND s.first + s.count <= d.last
);
CREATE TABLE modules (
    digest BLOB PRIMARY KEY,
    epoch INTEGER,
    staged INTEGER,
    bytes BLOB
) STRICT;
CREATE INDEX modules_staged ON modules (epoch, staged) WHERE epoch IS NOT NULL;
CREATE TABLE staged (
    epoch INTEGER NOT NULL,
    number INTEGER NOT NULL,
    piece INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (epoch, number, piece)
) STRICT;
CREATE TABLE metas (key TEXT PRIMARY KEY, sum BLOB NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE snapshot (
    part INTEGER PRIMARY KEY,
    parts INTEGER NOT NULL,
    covers INTEGER NOT NULL,
    sum BLOB NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE sizes (
    job INTEGER NOT NULL,
    log INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (job, log)
) STRICT;
CREATE TABLE audits (number INTEGER PRIMARY KEY, sum BLOB NOT NULL, entry BLOB NOT NULL) STRICT;
INSERT INTO fence VALUES (2);
INSERT INTO commits VALUES (3, 1, 2, x'7feef0790c5d243dc9676fc390431016', x'050000007468726565');
INSERT INTO segments VALUES (1, 0, 0, 2, 6, NULL, NULL, x'5544cefdd100dbfa96e7f1e94b89f45a', x'696e70757473');
INSERT INTO segments VALUES (1, 0, 2, 1, 13, 2, 1, x'bc5ca59a13f8c46141466f4be004e31a', x'');
INSERT INTO segments VALUES (1, 1, 0, 1, 6, NULL, NULL, x'55cef71e1d36a8bf6b59fd1ef068e591', x'726573756c74');
INSERT INTO modules VALUES (x'74b325c36632128adff25ca677668e2744172ff7622324a5888b75ec86a917cf', 2, 0, NULL);
INSERT INTO modules VALUES (x'f42578c55d5c75569566e601ea5072c5a6d791e617aae2d1674ea29cc70fb37a', NULL, NULL, x'6d6f64756c65');
INSERT INTO staged VALUES (2, 0, 0, x'737461676564206d6f64756c65');
INSERT INTO staged VALUES (2, 1, 0, x'73746167656420696e70757473');
INSERT INTO metas VALUES ('key', x'ece79c90b120da9da5a795cf06eacdbe', x'76616c7565');
INSERT INTO snapshot VALUES (0, 2, 2, x'7fe0e3862d2ca00da03da2efe45436e8', x'736e617073686f74');
INSERT INTO snapshot VALUES (1, 2, 2, x'57b48b81f4b746ab45a07ffc9a2aef3d', x'696e207061727473');
INSERT INTO sizes VALUES (1, 0, 19);
INSERT INTO sizes VALUES (1, 1, 6);
INSERT INTO audits VALUES (1, x'b2d0cccec5da65a518c3a56f9c87ef7b', x'616374');
