"""Makes the two fonts of this folder from those of the package `inter-ui` 4.1.1 (npm), the typeface Inter 4.1.

    npm pack inter-ui@4.1.1 && tar xzf inter-ui-4.1.1.tgz
    pip install fonttools==4.68.0 brotli
    python3 generate.py package/web

They keep Latin, Greek, superscripts and the signs of formulas, with kerning and without hints.
"""

import sys
from pathlib import Path

from fontTools import subset

CHARACTERS = [
    *range(0x20, 0x7F),  # ASCII
    *range(0xA0, 0x180),  # Latin of Europe
    *range(0x391, 0x3CA),  # Greek
    *range(0x2010, 0x2015),  # hyphens and dashes
    *(0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2026, 0x2032, 0x2033),
    *(0x2009, 0x200A, 0x202F),  # narrow spaces
    *range(0x2070, 0x2090),  # superscripts and subscripts
    *range(0x2190, 0x2194),  # arrows
    *(0x2202, 0x2206, 0x220F, 0x2211, 0x2212, 0x221A, 0x221E, 0x222B, 0x2248, 0x2260, 0x2264, 0x2265),
]

for name in ["Inter-Regular", "Inter-SemiBold"]:
    options = subset.Options(layout_features=["kern"], hinting=False, name_IDs=[0, 1, 2, 4, 6, 13, 14, 16, 17])
    font = subset.load_font(Path(sys.argv[1]) / f"{name}.woff2", options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=CHARACTERS)
    subsetter.subset(font)
    font.flavor = None
    # The times in the file would differ from run to run.
    font.recalcTimestamp = False
    font.save(Path(__file__).parent / f"{name}.ttf")
