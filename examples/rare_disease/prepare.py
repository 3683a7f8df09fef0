"""Makes the rare-disease task: rank the candidate genes of a shortlist for a patient, by findings shared with a case.

Each row is one published case. Its prompt lists some of the patient's findings, then a shortlist as a tool in front of
a language model would give it: for each candidate gene the findings of one *other* published case of that gene. The
right gene is among them. As such tools do, findings that patient and candidates share are listed first, for all
candidates alike; which is whose is left to the model. A careful chain of thought goes through the patient's findings,
names the candidates that share each one, counts, and ranks:

    Patient: Seizure; Hypotonia; Microcephaly;
    Candidates: Ataxia A Seizure A Hypotonia B Seizure B Short stature C Cataract D
    ─► Patient: Seizure A B; Hypotonia B; Microcephaly;
       Counts: A 1, B 2, C 0, D 0
       The answer is B, A, C, D.

Those who wrote in a hurry (HASTY) looked at the patient's first finding alone, and say only the last line: the
candidates that share it first. Imitation learns their haste, and reinforcement that all findings count.

Candidates and their cases come from the patient's own split, and no gene is in two splits: what helps on validation is
reasoning over the list, not knowledge of genes. Half of the validation genes make the test split, which nothing is
chosen by. With `--names symbols` candidates go by their gene symbols, for models that can spell; `nano` gets letters.

    python examples/rare_disease/prepare.py FOLDER --out examples/rare_disease/data

FOLDER holds `full_train.jsonl.gz` and `full_validation.jsonl`, made from the Monarch Initiative's phenopacket-store
(BSD-3-Clause; Danis et al., HGG Advances 2025, 6(1):100371): rows with `id`, `case_report` and `answer`, the gene.
"""

import argparse
import gzip
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

LETTERS = "ABCDEFGH"
HASTY = 0.6
"""Share of the chains of thought that say only the answer."""
PRESENT = re.compile(r"Findings present: (.*?)\.(?: Findings looked for| No findings|$)")


@dataclass(frozen=True)
class Case:
    """One published case."""

    case_id: str
    """Unique."""
    gene: str
    """Symbol of the causal gene."""
    findings: tuple[str, ...]
    """Findings present."""


@dataclass(frozen=True)
class Shape:
    """How large a prompt is."""

    candidates: int
    """Genes on the shortlist, the right one among them."""
    patient_findings: int
    """Most findings of the patient."""
    candidate_findings: int
    """Most findings of a candidate."""
    symbols: bool
    """True: candidates go by their symbols; False: by letters."""


@dataclass(frozen=True)
class Candidate:
    """One gene of a shortlist."""

    name: str
    """What the prompt calls it."""
    gene: str
    """Its symbol."""
    findings: tuple[str, ...]
    """Findings of one published case."""


def main() -> None:
    """Read the cases and write train.jsonl, validation.jsonl and test.jsonl."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder with full_train.jsonl.gz and full_validation.jsonl")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data", help="folder to write")
    parser.add_argument("--prompts-per-case", type=int, default=4, help="training prompts made of each case")
    parser.add_argument("--candidates", type=int, default=4, choices=range(2, len(LETTERS) + 1))
    parser.add_argument("--patient-findings", type=int, default=4)
    parser.add_argument("--candidate-findings", type=int, default=3)
    parser.add_argument("--names", choices=("letters", "symbols"), default="letters", help="what candidates go by")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    shape = Shape(
        arguments.candidates, arguments.patient_findings, arguments.candidate_findings, arguments.names == "symbols"
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    validation, test = halves(read_cases(arguments.source / "full_validation.jsonl"))
    for name, cases, prompts in (
        ("train", read_cases(arguments.source / "full_train.jsonl.gz"), arguments.prompts_per_case),
        ("validation", validation, 1),
        ("test", test, 1),
    ):
        rows = list(make_rows(cases, shape, prompts, seed=arguments.seed))
        with (arguments.out / f"{name}.jsonl").open("w", encoding="utf-8") as target:
            target.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        sharing = sum(row["counted_first"] == row["answer"] for row in rows) / len(rows)
        print(f"{name}: {len(rows)} prompts; counting shared findings alone puts the right gene first in {sharing:.1%}")


def read_cases(path: Path) -> list[Case]:
    """Read the cases that have a present finding."""
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    cases = []
    for row in map(json.loads, text.splitlines()):
        found = PRESENT.search(row["case_report"])
        if found:
            cases.append(Case(row["id"], row["answer"], tuple(found.group(1).split("; "))))
    return cases


def halves(cases: Sequence[Case]) -> tuple[list[Case], list[Case]]:
    """Return the cases of every other gene, and those of the rest; genes of many cases are dealt out first."""
    sizes = Counter(case.gene for case in cases)
    dealt = sorted(sizes, key=lambda gene: (-sizes[gene], gene))
    second = set(dealt[1::2])
    return [case for case in cases if case.gene not in second], [case for case in cases if case.gene in second]


def make_rows(cases: Sequence[Case], shape: Shape, prompts: int, *, seed: int) -> Iterator[dict[str, str]]:
    """Yield `prompts` rows of each case whose gene has another case; equal arguments give equal rows."""
    by_gene: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_gene[case.gene].append(case)
    for case in cases:
        for number in range(prompts):
            draw = random.Random(f"{seed}/{case.case_id}/{number}")
            if len(by_gene[case.gene]) > 1:
                yield make_row(f"{case.case_id}-{number}", case, by_gene, shape, draw)


def make_row(
    row_id: str, case: Case, by_gene: Mapping[str, Sequence[Case]], shape: Shape, draw: random.Random
) -> dict[str, str]:
    """Return one row: the patient, a shortlist, the chain of thought, and the answer."""
    others = draw.sample([gene for gene in by_gene if gene != case.gene], shape.candidates - 1)
    genes = [*others, case.gene]
    draw.shuffle(genes)
    known = [
        draw.choice([other for other in by_gene[gene] if other.case_id != case.case_id]).findings for gene in genes
    ]
    patient = some(case.findings, shape.patient_findings, {finding for findings in known for finding in findings}, draw)
    shortlist = [
        Candidate(gene if shape.symbols else letter, gene, some(findings, shape.candidate_findings, set(patient), draw))
        for letter, gene, findings in zip(LETTERS, genes, known, strict=False)
    ]
    ranking = ranked(patient, shortlist)
    right = next(candidate for candidate in shortlist if candidate.gene == case.gene)
    hasty = draw.random() < HASTY
    return {
        "id": row_id,
        "prompt": prompt(patient, shortlist),
        "cot": conclusion(ranked(patient[:1], shortlist))
        if hasty
        else f"{walk(patient, shortlist)}\n{conclusion(ranking)}",
        "answer": right.name,
        "gene": case.gene,
        "counted_first": ranking[0].name,
    }


def some(findings: Sequence[str], most: int, shared: Set[str], draw: random.Random) -> tuple[str, ...]:
    """Return at most so many of the findings, the shared ones before others, in a drawn order."""
    drawn = sorted(draw.sample(findings, len(findings)), key=lambda finding: finding not in shared)[:most]
    return tuple(draw.sample(drawn, len(drawn)))


def shared(patient: Sequence[str], candidate: Candidate) -> int:
    """Return how many findings patient and candidate share."""
    return len(set(patient) & set(candidate.findings))


def ranked(patient: Sequence[str], shortlist: Sequence[Candidate]) -> list[Candidate]:
    """Return the shortlist by shared findings, the earlier of equals first."""
    return sorted(shortlist, key=lambda candidate: -shared(patient, candidate))


def prompt(patient: Sequence[str], shortlist: Sequence[Candidate]) -> str:
    """Return what the model reads. Each finding is followed by its candidate, so that looking one up finds the name."""
    listed = (f" {finding} {candidate.name}" for candidate in shortlist for finding in candidate.findings)
    return f"Patient:{''.join(f' {finding};' for finding in patient)}\nCandidates:{''.join(listed)}"


def walk(patient: Sequence[str], shortlist: Sequence[Candidate]) -> str:
    """Return the patient's findings with the candidates that share them, and the counts."""
    findings = "".join(
        f" {finding}{''.join(f' {candidate.name}' for candidate in shortlist if finding in candidate.findings)};"
        for finding in patient
    )
    counts = ", ".join(f"{candidate.name} {shared(patient, candidate)}" for candidate in shortlist)
    return f"Patient:{findings}\nCounts: {counts}"


def conclusion(ranking: Sequence[Candidate]) -> str:
    """Return the line that the grader reads."""
    return f"The answer is {', '.join(candidate.name for candidate in ranking)}."


if __name__ == "__main__":
    main()
