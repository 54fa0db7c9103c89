"""Writes expected.csv: SMILES of MOSES, corrupted ones, and cases by hand, with what RDKit says of each.

    pip download --no-deps molsets && pip install rdkit==2026.9.1
    python generate.py molsets-0.3.1-py3-none-any.whl [COUNT]

COUNT real molecules of every published split come whole and in four corruptions each; the committed file has 60.
"""

import csv
import gzip
import random
import sys
import zipfile

from rdkit import Chem, RDLogger

RDLogger.DisableLog("rdApp.*")
CASES = """C C1CC C1CC1 c1ccccc1 c1cccc1 cc c C=1CC-1 C11 C12CC12 C12CCCC12 (C)C C()C C((C)C)C C(C) C= =C C==C C.C .C C. C..C
c1ccccc1c1ccccc1 c1ccCCc1 c1cccCc1 CN(=O)=O CN=N=N CN=N#N CN=[N+]=[N-] C[N](C)(C)C N(C)(C)(C)C C[N+](C)(C)C c1cccn1 c1cc[nH]c1
c1ccccn1=O Cl(=O)(=O)(=O)O FC(F)(F)(F)F S(=O)(=O)(F)(F)F I(C)C I(C)(C)C Br(C)C [CH5] [CH4+] [NH4] [NH4+] [O-]C [O-](C)C
[O+](C)(C)C [O](C)(C)C C%10CCCC%10 C%(100)CC%(100) C%1CC%1 C0CC0 [C@@H](F)(Cl)Br C[C@H](F)Cl [13CH4] [H] [H][H] H [Na+].[Cl-]
[nH] c1[nH]ccc1 c1ccc2c(c1)=CC=C2 O=c1cccc[nH]1 O=c1ccccc1 B(C)(C)C B(C)(C)(C)C P(C)(C)(C)(C)C P(C)(C)(C)C S(C)(C)C [SH2](C)C
C:C c:c c1:c:c:c:c:c1 c1-c-c-c-c-c1 C$C C/C=C/C C//C C/=C C=/C C(=C C)C c1ccsc1 c1ccoc1 c1ccpc1 c1ccc[se]1 n1nnnnn1 n1nnnn1
[nH]1nnnn1 [C C] [] [X] [CH *C [*] c1ccbcc1 b1ccccc1 c1cc[n-]c1 C1CC=1 [C-]#[O+] C#C#C C=C=C N#N O=O O=O=O S=S=S Cl=C F[F]
CC(C)(C)(C)C [Cu] [CH3][CH2] C[H] [H]C[H] CLC Cc [c]1[c][c][c][c][c]1 C@C [C@](F) [C+4] [C++] [C--] [C+-] [CH2:1] [0C] C(-C)
C(=)C C(1CC1) C1(CC1) C(=1)CC1 C(C)(C) s1(=O)cccc1 n1(C)cccc1 n1(C)ccccc1 c1(=O)cc1 CS(C)(C)(C)(C)C CS(C)(C)(C)(C)(C)C
c1ccc2ccccc2c1 c1ccc2cccc2cc1 c1cc2cccc3ccc(c1)c23 c1ccc2[nH]ccc2c1 c1ccc2nccc2c1 Cn1c(=O)c2c(ncn2C)n(C)c1=O c1c[nH]cn1 c1cncn1
[Fe+2] [Na] [Mg+2] [F-] [F] [B-](F)(F)(F)F F[P-](F)(F)(F)(F)F F[Si](F)(F)(F)F [Si](C)(C)(C)(C)C C[S+](C)C C[S-] [I-] I(=O)(=O)O""".split()
ALPHABET = list("#()-123456=BCFHNOS[]clnors")


def corrupted(smiles, rng):
    letters = list(smiles)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        place = rng.randrange(len(letters)) if letters else 0
        what = rng.randrange(4)
        if what == 0 and letters:
            del letters[place]
        elif what == 1:
            letters.insert(place, rng.choice(ALPHABET))
        elif what == 2 and letters:
            letters[place] = rng.choice(ALPHABET)
        elif len(letters) > 1:
            other = rng.randrange(len(letters))
            letters[place], letters[other] = letters[other], letters[place]
    return "".join(letters)


def main():
    wheel, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60
    rng = random.Random(0)
    rows = list(CASES)
    with zipfile.ZipFile(wheel) as archive:
        for name in ["train", "test", "test_scaffolds"]:
            lines = gzip.decompress(archive.read(f"moses/dataset/data/{name}.csv.gz")).decode().split("\n")[1:]
            for smiles in rng.sample([line for line in lines if line], count):
                rows += [smiles] + [corrupted(smiles, rng) for _ in range(4)]
    rows = [row for row in dict.fromkeys(rows) if row]
    with open("expected.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["smiles", "valid"])
        writer.writerows([row, int(Chem.MolFromSmiles(row) is not None)] for row in rows)


main()
