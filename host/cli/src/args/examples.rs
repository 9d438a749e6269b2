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
            ("Make a task, and run it on 100 numbers", "wasmgrid new hello"),
            ("", "wasmgrid run hello --range 1..=100"),
            ("Run a program on each line of a file", "wasmgrid run grep.wasm --lines in.txt"),
            ("Make a grid of this machine; others join it", "wasmgrid up"),
        ],
    ),
    (
        "run",
        &[
            ("A crate's task on a range of numbers", "wasmgrid run hello --range 1..=100"),
            ("A file's lines, each a task, results to another", ""),
            ("", "wasmgrid run grep.wasm --lines access.log -o found.txt -- ERROR"),
            ("One task a file", "wasmgrid run wc.wasm --files 'src/**/*.rs'"),
            ("A result in a file of its own for each", ""),
            ("", "wasmgrid run thumb.wasm --files 'in/*.png' --out-dir 'out/{stem}.jpg'"),
            ("The rows of a table", "wasmgrid run score.wasm --csv people.csv --with-input"),
            ("A product", "wasmgrid run train.wasm --grid 'rate=0.1,0.2' --grid 'seed=0..10'"),
            ("Many lines a task", "wasmgrid run grep.wasm log --batch 1MiB -- ERROR"),
            ("A run that can be cut off and goes on", ""),
            ("", "wasmgrid run score.wasm in.txt -o out.txt --resume progress"),
            ("Lines as they come", "tail -f access.log | wasmgrid run grep.wasm - -- ERROR"),
            ("Once more what failed, with more memory", ""),
            ("", "wasmgrid run --again found.txt.20261130-120000.failed --memory 1GiB"),
        ],
    ),
    (
        "submit",
        &[
            ("A job that goes on by itself", "wasmgrid submit hello --range 0..100000"),
            ("One that others feed", "wasmgrid submit grep.wasm --open -- ERROR"),
        ],
    ),
    ("new", &[("A crate with a task, in ./hello", "wasmgrid new hello")]),
    (
        "inspect",
        &[
            ("What a module asks for", "wasmgrid inspect grep.wasm"),
            ("The same for programs", "wasmgrid inspect grep.wasm --output json"),
        ],
    ),
    (
        "up",
        &[
            ("A grid on this machine alone", "wasmgrid up"),
            ("One that other machines reach", "wasmgrid up --listen 0.0.0.0"),
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
        "worker",
        &[
            ("Work again for the grid that was joined", "wasmgrid worker"),
            ("With two slots", "wasmgrid worker --slots 2"),
            ("The workers of the grid", "wasmgrid worker list"),
        ],
    ),
    (
        "worker list",
        &[
            ("All workers", "wasmgrid worker list"),
            ("Names of those that fail", ""),
            ("", "wasmgrid worker list --output json | jq '.[] | select(.failing) | .name'"),
        ],
    ),
    (
        "worker show",
        &[
            ("What runs there", "wasmgrid worker show box1"),
            ("How this machine's worker is set", "wasmgrid worker show"),
        ],
    ),
    (
        "worker set",
        &[("The scheduler has moved", "wasmgrid worker set --server grid.example:7433")],
    ),
    ("worker drain", &[("Before a machine is turned off", "wasmgrid worker drain box1 --wait")]),
    ("worker cordon", &[("Nothing new for now", "wasmgrid worker cordon box1")]),
    ("worker uncordon", &[("Tasks again", "wasmgrid worker uncordon box1")]),
    ("worker remove", &[("One that was sold", "wasmgrid worker remove box1")]),
    (
        "status",
        &[
            ("What is wrong, and what would help", "wasmgrid status"),
            ("In monitoring", "wasmgrid status --context lab --output json"),
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
            ("For somebody who may do everything", ""),
            ("", "wasmgrid token create --role operator --name olga"),
            ("For workers of a zone that you vouch for", ""),
            ("", "wasmgrid token create --uses 10 --label zone=b"),
        ],
    ),
    ("token list", &[("Which are good", "wasmgrid token list")]),
    (
        "token revoke",
        &[("One that was sent to the wrong person", "wasmgrid token revoke 00c0ffee00c0ffee")],
    ),
    (
        "client",
        &[
            ("Who has joined", "wasmgrid client list"),
            ("A laptop that was stolen", "wasmgrid client remove ada-2"),
        ],
    ),
    ("client list", &[("Who has joined, and whose jobs each sees", "wasmgrid client list")]),
    (
        "client remove",
        &[
            ("A laptop that was stolen", "wasmgrid client remove ada-2"),
            ("An operator", "wasmgrid client remove olga --role operator"),
        ],
    ),
    (
        "job",
        &[
            ("What there is", "wasmgrid job list"),
            ("Results as they come", "wasmgrid job results 7 --follow"),
        ],
    ),
    (
        "job list",
        &[
            ("The newest ten", "wasmgrid job list --limit 10"),
            ("Those of ada that failed", "wasmgrid job list --state failed --tenant ada"),
        ],
    ),
    (
        "job show",
        &[
            ("A job", "wasmgrid job show 7"),
            ("One task with its attempts and log", "wasmgrid job show 7 --task 3"),
        ],
    ),
    ("job explain", &[("Why nothing of it runs", "wasmgrid job explain 7")]),
    (
        "job results",
        &[
            ("All, to a file", "wasmgrid job results 7 --follow -o results.txt"),
            ("From a cursor on, as JSON", "wasmgrid job results 7 --from 1000 --output json"),
        ],
    ),
    (
        "job logs",
        &[
            ("Of all tasks, as they end", "wasmgrid job logs 7 --follow"),
            ("Of one task", "wasmgrid job logs 7 3"),
        ],
    ),
    (
        "job append",
        &[
            ("The lines of a file", "wasmgrid job append 7 --lines more.txt"),
            ("Lines as they come", "tail -f access.log | wasmgrid job append 7 -"),
        ],
    ),
    ("job close", &[("Let it end with its last task", "wasmgrid job close 7")]),
    ("job retry", &[("What failed, with more fuel", "wasmgrid job retry 7 --failed --fuel 1T")]),
    ("job cancel", &[("Stop it", "wasmgrid job cancel 7")]),
    ("job wait", &[("In a script", "wasmgrid job wait 7 && echo all ok")]),
    (
        "tenant",
        &[
            ("Who has what", "wasmgrid tenant list"),
            ("Give somebody more room", "wasmgrid tenant set ada bytes=20GiB"),
        ],
    ),
    ("tenant list", &[("Who has what", "wasmgrid tenant list")]),
    ("tenant show", &[("What one has and may have", "wasmgrid tenant show ada")]),
    (
        "tenant set",
        &[
            ("Two bounds at once", "wasmgrid tenant set ada bytes=20GiB jobs=1000"),
            ("What everybody may have", "wasmgrid tenant set ada bytes=default"),
        ],
    ),
    (
        "authority",
        &[
            ("Whose certificates end when", "wasmgrid authority show"),
            ("Another one, and later that one alone", "wasmgrid authority replace"),
            ("", "wasmgrid authority retire"),
        ],
    ),
    ("authority show", &[("Whose certificates end when", "wasmgrid authority show")]),
    ("authority replace", &[("As where its key is known to others", "wasmgrid authority replace")]),
    ("authority retire", &[("Once everybody has moved", "wasmgrid authority retire")]),
    (
        "context",
        &[
            ("Which grids there are", "wasmgrid context list"),
            ("Run on this machine again", "wasmgrid context use local"),
        ],
    ),
    ("context list", &[("Which grids there are", "wasmgrid context list")]),
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
    ("context remove", &[("One that is not used any more", "wasmgrid context remove lab")]),
    ("context add", &[("With a token on stdin", "wasmgrid context add lab --token-file -")]),
    (
        "completion",
        &[
            ("For this bash alone", "source <(wasmgrid completion bash)"),
            ("For zsh, in a folder of its `fpath`", ""),
            ("", "wasmgrid completion zsh > ~/.zfunc/_wasmgrid"),
        ],
    ),
    ("man", &[("Write the pages, and read one", "wasmgrid man pages && man pages/wasmgrid-run.1")]),
];
