//! Examples at the end of each command's help. A test parses each, and asks for one for each
//! command: one that takes more than a line here may be two.

/// The examples of one command: what each does, and the line that does it.
type Examples = &'static [(&'static str, &'static str)];

/// Those of a command, by its words behind `wasmgrid`; none where it has none.
pub fn of(command: &str) -> Examples {
    let mut all = ALL.iter();
    all.find(|(name, _)| *name == command).map_or(&[], |(_, examples)| examples)
}

/// By command, in the order of `wasmgrid --help`.
pub const ALL: &[(&str, Examples)] = &[
    (
        "",
        &[
            ("Create a task and run it on 100 numbers", "wasmgrid new hello"),
            ("", "wasmgrid run hello --range 1..=100"),
            ("Run a program on each line of a file", "wasmgrid run grep.wasm --lines in.txt"),
            ("Create a grid on this machine; others join it", "wasmgrid up"),
        ],
    ),
    (
        "run",
        &[
            ("A crate's task on a range of numbers", "wasmgrid run hello --range 1..=100"),
            ("One task per line of a file, results to another", ""),
            ("", "wasmgrid run grep.wasm --lines access.log -o found.txt -- ERROR"),
            ("One task per file", "wasmgrid run wc.wasm --files 'src/**/*.rs'"),
            ("One result file per input", ""),
            ("", "wasmgrid run thumb.wasm --files 'in/*.png' --out-dir 'out/{stem}.jpg'"),
            (
                "One task per row of a table",
                "wasmgrid run score.wasm --csv people.csv --with-input",
            ),
            (
                "One task per point of a product",
                "wasmgrid run train.wasm --grid 'rate=0.1,0.2' --grid 'seed=0..10'",
            ),
            ("Many lines per task", "wasmgrid run grep.wasm log --batch 1MiB -- ERROR"),
            ("A run that can be interrupted and resumed", ""),
            ("", "wasmgrid run score.wasm in.txt -o out.txt --resume progress"),
            ("Lines as they arrive", "tail -f access.log | wasmgrid run grep.wasm - -- ERROR"),
            ("Run failed inputs again, with more memory", ""),
            ("", "wasmgrid run --again found.txt.20261130-120000.failed --memory 1GiB"),
        ],
    ),
    (
        "submit",
        &[
            ("A job that runs on its own", "wasmgrid submit hello --range 0..100000"),
            ("A job that others feed", "wasmgrid submit grep.wasm --open -- ERROR"),
        ],
    ),
    ("new", &[("A crate with a task, in ./hello", "wasmgrid new hello")]),
    (
        "inspect",
        &[
            ("What a module imports", "wasmgrid inspect grep.wasm"),
            ("The same for programs", "wasmgrid inspect grep.wasm --output json"),
        ],
    ),
    (
        "up",
        &[
            ("A grid on this machine alone", "wasmgrid up"),
            ("A grid that other machines can reach", "wasmgrid up --listen 0.0.0.0"),
            ("A scheduler alone, and a token for ten machines", ""),
            ("", "wasmgrid up --no-worker --listen 0.0.0.0 --token-uses 10"),
        ],
    ),
    (
        "join",
        &[
            ("With the token that `wasmgrid up` printed", "wasmgrid join --token-file -"),
            ("With four slots and a label", ""),
            ("", "wasmgrid join --token-file token --slots 4 --label zone=b"),
        ],
    ),
    (
        "server",
        &[
            ("With a file of settings", "wasmgrid server --config /etc/wasmgrid/server.toml"),
            ("With flags", "wasmgrid server --listen 0.0.0.0 --keep-results 30d"),
        ],
    ),
    (
        "gateway",
        &[
            ("On another port of this machine", "wasmgrid gateway --http 127.0.0.1:8080"),
            ("For other machines, with a certificate", ""),
            ("", "wasmgrid gateway --http 0.0.0.0 --http-cert web.pem --http-key key.pem"),
        ],
    ),
    (
        "worker",
        &[
            ("Resume work for the grid", "wasmgrid worker"),
            ("With two slots", "wasmgrid worker --slots 2"),
            ("The workers of the grid", "wasmgrid worker list"),
        ],
    ),
    (
        "worker list",
        &[
            ("All workers", "wasmgrid worker list"),
            ("Names of failing workers", ""),
            ("", "wasmgrid worker list --output json | jq '.[] | select(.failing) | .name'"),
        ],
    ),
    (
        "worker show",
        &[
            ("What runs on a worker", "wasmgrid worker show box1"),
            ("Settings of this machine's worker", "wasmgrid worker show"),
        ],
    ),
    (
        "worker set",
        &[("The scheduler has moved", "wasmgrid worker set --server grid.example:7433")],
    ),
    ("worker drain", &[("Before turning a machine off", "wasmgrid worker drain box1 --wait")]),
    ("worker cordon", &[("Give it no new tasks for now", "wasmgrid worker cordon box1")]),
    ("worker uncordon", &[("Give it tasks again", "wasmgrid worker uncordon box1")]),
    ("worker remove", &[("A machine that was sold", "wasmgrid worker remove box1")]),
    (
        "status",
        &[
            ("What is wrong and how to fix it", "wasmgrid status"),
            ("In monitoring", "wasmgrid status --context lab --output json"),
        ],
    ),
    (
        "top",
        &[
            ("All of the grid, each second", "wasmgrid top"),
            ("Another grid, less often", "wasmgrid top --context lab --interval 5s"),
        ],
    ),
    ("token", &[("A token for ten workers", "wasmgrid token create --uses 10 --ttl 1d")]),
    (
        "token create",
        &[
            ("For one more worker", "wasmgrid token create"),
            ("For two devices of ada, who submits jobs", ""),
            ("", "wasmgrid token create --role client --name ada --uses 2"),
            ("For ben, who shares the jobs of the lab", ""),
            ("", "wasmgrid token create --role client --name ben --tenant lab"),
            ("For an operator", ""),
            ("", "wasmgrid token create --role operator --name olga"),
            ("For a gateway", "wasmgrid token create --role gateway --name web"),
            ("For workers of a zone that you vouch for", ""),
            ("", "wasmgrid token create --uses 10 --label zone=b"),
        ],
    ),
    ("token list", &[("Which tokens are valid", "wasmgrid token list")]),
    (
        "token revoke",
        &[("A token that was sent to the wrong person", "wasmgrid token revoke 00c0ffee00c0ffee")],
    ),
    (
        "client",
        &[
            ("Who has joined", "wasmgrid client list"),
            ("A laptop that was stolen", "wasmgrid client remove ada-2"),
        ],
    ),
    ("client list", &[("All members, and whose jobs each can see", "wasmgrid client list")]),
    (
        "client remove",
        &[
            ("A laptop that was stolen", "wasmgrid client remove ada-2"),
            ("An operator", "wasmgrid client remove olga --role operator"),
        ],
    ),
    (
        "key",
        &[("A key for a CI job of ada", "wasmgrid key create --tenant ada --name ci --ttl 90d")],
    ),
    (
        "key create",
        &[
            ("For a CI job of ada", "wasmgrid key create --tenant ada --name ci --ttl 90d"),
            ("For a program that watches the whole grid", ""),
            ("", "wasmgrid key create --tenant monitoring --role operator"),
        ],
    ),
    ("key list", &[("Which keys there are, and which are used", "wasmgrid key list")]),
    ("key revoke", &[("A key that was published", "wasmgrid key revoke 00c0ffee00c0ffee")]),
    (
        "ui",
        &[
            ("The pages of the grid on this machine", "wasmgrid ui"),
            ("Another machine's, for another browser", ""),
            ("", "wasmgrid ui --print --http https://grid.example"),
        ],
    ),
    (
        "job",
        &[
            ("All jobs", "wasmgrid job list"),
            ("Results as they arrive", "wasmgrid job results 7 --follow"),
        ],
    ),
    (
        "job list",
        &[
            ("The ten newest jobs", "wasmgrid job list --limit 10"),
            ("The failed jobs of ada", "wasmgrid job list --state failed --tenant ada"),
        ],
    ),
    (
        "job show",
        &[
            ("A job", "wasmgrid job show 7"),
            ("One task with its attempts and log", "wasmgrid job show 7 --task 3"),
        ],
    ),
    ("job explain", &[("Why none of its tasks run", "wasmgrid job explain 7")]),
    (
        "job results",
        &[
            ("All results, to a file", "wasmgrid job results 7 --follow -o results.txt"),
            ("From a cursor, as JSON", "wasmgrid job results 7 --from 1000 --output json"),
        ],
    ),
    (
        "job logs",
        &[
            ("The logs of all tasks, as they end", "wasmgrid job logs 7 --follow"),
            ("The log of one task", "wasmgrid job logs 7 3"),
        ],
    ),
    (
        "job append",
        &[
            ("The lines of a file", "wasmgrid job append 7 --lines more.txt"),
            ("Lines as they arrive", "tail -f access.log | wasmgrid job append 7 -"),
        ],
    ),
    ("job close", &[("Add no more inputs", "wasmgrid job close 7")]),
    (
        "job retry",
        &[("Run failed tasks again with more fuel", "wasmgrid job retry 7 --failed --fuel 1T")],
    ),
    ("job cancel", &[("Stop it", "wasmgrid job cancel 7")]),
    ("job wait", &[("In a script", "wasmgrid job wait 7 && echo all ok")]),
    (
        "function",
        &[
            ("Give a task a name", "wasmgrid function deploy words examples/wordcount"),
            ("Call it", "wasmgrid function call words --input hello"),
        ],
    ),
    (
        "function deploy",
        &[
            ("From a folder, at most four calls at once", ""),
            ("", "wasmgrid function deploy words examples/wordcount --concurrency 4"),
        ],
    ),
    ("function list", &[("Which functions there are", "wasmgrid function list")]),
    (
        "function call",
        &[
            ("With a text", "wasmgrid function call words --input hello"),
            (
                "With the outcome and what it took",
                "wasmgrid function call words --input hello --output json",
            ),
        ],
    ),
    ("function delete", &[("Take it away", "wasmgrid function delete words")]),
    ("module", &[("Which modules there are", "wasmgrid module list")]),
    (
        "module list",
        &[
            ("Which modules there are", "wasmgrid module list"),
            ("Those of one tenant, for an operator", "wasmgrid module list --tenant ada"),
        ],
    ),
    (
        "tenant",
        &[
            ("Who has what", "wasmgrid tenant list"),
            ("Give a tenant more room", "wasmgrid tenant set ada bytes=20GiB"),
        ],
    ),
    ("tenant list", &[("Who has what", "wasmgrid tenant list")]),
    ("tenant show", &[("One tenant's use and quotas", "wasmgrid tenant show ada")]),
    (
        "tenant set",
        &[
            ("Set two quotas", "wasmgrid tenant set ada bytes=20GiB jobs=1000"),
            ("Return to the default", "wasmgrid tenant set ada bytes=default"),
        ],
    ),
    (
        "audit",
        &[
            ("What was done in the last day", "wasmgrid audit --since 1d"),
            ("What olga did, for programs", "wasmgrid audit --who olga --output json"),
        ],
    ),
    (
        "authority",
        &[
            ("Whose certificates end when", "wasmgrid authority show"),
            ("Replace it, then retire the former one", "wasmgrid authority replace"),
            ("", "wasmgrid authority retire"),
        ],
    ),
    ("authority show", &[("Whose certificates end when", "wasmgrid authority show")]),
    ("authority replace", &[("If others may know its key", "wasmgrid authority replace")]),
    ("authority retire", &[("After all members have moved", "wasmgrid authority retire")]),
    (
        "context",
        &[
            ("All grids", "wasmgrid context list"),
            ("Run on this machine again", "wasmgrid context use local"),
        ],
    ),
    ("context list", &[("All grids", "wasmgrid context list")]),
    (
        "context show",
        &[
            ("The selected one", "wasmgrid context show"),
            ("Another one, for programs", "wasmgrid context show lab --output json"),
        ],
    ),
    (
        "context set",
        &[("The scheduler has moved", "wasmgrid context set lab --server grid.example:7433")],
    ),
    (
        "context use",
        &[
            ("Another grid", "wasmgrid context use lab"),
            ("This machine", "wasmgrid context use local"),
        ],
    ),
    ("context remove", &[("A grid that is no longer used", "wasmgrid context remove lab")]),
    ("context add", &[("With a token on stdin", "wasmgrid context add lab --token-file -")]),
    (
        "completion",
        &[
            ("For this bash session", "source <(wasmgrid completion bash)"),
            ("For zsh, in a folder of its `fpath`", ""),
            ("", "wasmgrid completion zsh > ~/.zfunc/_wasmgrid"),
        ],
    ),
    ("man", &[("Write the pages, and read one", "wasmgrid man pages && man pages/wasmgrid-run.1")]),
];
