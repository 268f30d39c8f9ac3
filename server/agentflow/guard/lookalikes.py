"""Characters that look like a Latin letter, by the letter.

Built from the Unicode confusables (UTS #39) as carried by the package confusable-homoglyphs (MIT), reduced to single
letters that NFKC does not fold, with small capitals, letters with strokes, hooks and bars, and letters in squares and
circles added. Only for reading what an English text is disguised as: ordinary Greek or Cyrillic becomes nonsense.
"""

from __future__ import annotations

from typing import Final

_BY_LETTER: Final = {
    "3": "З",
    "A": "ΑАᎪᗅꓮ\U000102a0\U00016f40",
    "a": "ɑαаᴀ",
    "B": "ΒВᏴᗷꓐꞴ\U00010282\U000102a1\U00010301",
    "b": "ƀƄɓʙЬвᏏᑲᖯ",
    "C": "СᏟⲤꓚ\U000102a2\U00010302\U00010415\U0001051c",
    "c": "ƈϲсᴄⲥꮯ\U0001043d",
    "D": "Ꭰᗞᗪꓓ",
    "d": "đɖɗԁᏧᑯᴅꓒ",
    "E": "ΕЕᎬⴹꓰ\U00010286\U000118a6\U000118ae",
    "e": "ɛεеҽᴇℯꬲ",
    "F": "ϜᖴꓝꞘ\U00010287\U000102a5\U00010525\U000118a2\U000118c2",
    "f": "ƒẝꜰꞙꬵ",
    "G": "ԌᏀᏳꓖ",
    "g": "ƍǥɠɡɢցᵹᶃ",
    "H": "ΗНᎻᕼⲎꓧ\U000102cf",
    "h": "ħɦʜнһհᏂ",
    "I": "ƖΙІӀⲒ",
    "i": "ıɨɩɪιіᎥꙇꭵ\U000118c3",
    "J": "ͿЈᎫᒍꓙꞲ",
    "j": "ɉʝϳјᴊ",
    "K": "ΚКᏦᛕⲔꓗ\U00010518",
    "k": "ƙκкᴋ",
    "L": "ᏞᒪⳐꓡ\U0001041b\U00010526\U000118a3\U000118b2\U00016f16",
    "l": "łǀɫɬʟӏᛁℓⵏꓲ\U0001028a\U00010309\U00016f28",
    "M": "ΜϺМᎷᗰᛖⲘꓟ\U000102b0\U00010311",
    "m": "ɱмᴍⅿ",
    "N": "ΝⲚꓠ\U00010513",
    "n": "ŋɲɴпղոռ",
    "O": "ΟОՕଠዐⲞⵔꓳ\U00010292\U000102ab\U00010404\U000104c2\U00010516\U000118b5",
    "o": "øɵοσоօഠဝჿᴏᴑⲟꬽ\U0001042c\U000104ea\U000118c8\U000118d7",
    "P": "ΡРᏢᑭⲢꓑ\U00010295",
    "p": "ƥρрթᴘⲣ",
    "Q": "ⵕ",
    "q": "ʠԛգզքꞯ",
    "R": "ƦᎡᏒᖇꓣ\U000104b4\U00016f35",
    "r": "ɍɾʀгᴦⲅꭇꭈꮁ",
    "S": "ЅՏᏕᏚꓢ\U00010296\U00010420\U00016f3a",
    "s": "ƽʂѕꜱꮪ\U00010448\U000118c1",
    "T": "ΤТᎢⲦꓔ\U00010297\U000102b1\U00010315\U000118bc\U00016f0a",
    "t": "ŧƭτтᴛ",
    "U": "Սሀᑌꓴ\U000104ce\U000118b8\U00016f42",
    "u": "ʉυսᴜꞟꭎꭒ\U000104f6\U000118d8",
    "V": "ѴᏙᐯⴸꓦꛟ\U0001051d\U000118a0\U00016f08",
    "v": "ʋνѵᴠꮩ\U00011706\U000118c0",
    "W": "ԜᎳᏔꓪ",
    "w": "ɯωѡԝաᴡꮃ\U0001170a\U0001170e\U0001170f",
    "X": "ΧХᚷⲬⵝꓫꞳ\U00010290\U000102b4\U00010317\U00010527",
    "x": "χхᕁᕽ",
    "Y": "ΥУҮᎩᎽⲨꓬ\U000102b2\U000118a4\U00016f43",
    "y": "ɣʏγучүყᶌỿꭚ\U000118dc",
    "Z": "ΖᏃꓜ\U000118a9",
    "z": "ᴢꮓ\U000118c4",
}
# Squared and circled white letters, regional indicators: three alphabets in a row.
_ALPHABETS: Final = (0x1F150, 0x1F170, 0x1F1E6)

LOOKALIKES: Final = {
    **{ord(char): letter for letter, chars in _BY_LETTER.items() for char in chars},
    **{base + index: chr(97 + index) for base in _ALPHABETS for index in range(26)},
}
