"""Function words that carry no topic, for the most used languages.

Measured, English: with such a list BM25 at k1 = 0.9 finds clearly more for questions ("how do I ... ?"), which have
several words that passages hardly ever have, so that their idf is no protection; and four fifths of the postings that
a query walks through are gone. Longer lists (scikit-learn's) gain nothing more.

Left out are words that are also names or abbreviations that people look for (`who`, `us`, `no`, `may`). Languages
without a list keep all of their words.
"""

from __future__ import annotations

_ENGLISH = """
a an and any are as at be because been being but by can could did do does doing for from had has have having he her
hers him his how i if in into is it its me my not of on or other our ours out over she should so some such than that
the their them then there these they this those through to too under up very was we were what when where which while
why will with would you your yours
arent cant couldnt didnt doesnt dont hadnt hasnt havent isnt shouldnt wasnt werent wont wouldnt
"""
_LISTS = {
    "english": _ENGLISH,
    "porter": _ENGLISH,
    "dutch": """
aan als bij daar dan dat de deze die dit door een en er het hij hoe ik in is je kan maar met mijn naar niet nog of om
omdat onder ook op over te tot uit van voor waar was wat we welke wie wij ze zich zij zijn zo zou
""",
    "french": """
a au aux avec ce ces cet cette comment dans de des du elle elles en est et etre il ils je la le les leur leurs lui ma
mais me mes mon ne nos notre nous on ont ou par pas pour quand que quel quelle quelles quels qui quoi sa se ses si son
sont sur ta te tes toi ton tu un une vos votre vous y
""",
    "german": """
aber als am an auch auf aus bei bin bis bist da damit das dass dem den der des die dies diese diesem diesen dieser
dieses du durch ein eine einem einen einer eines er es fur hat habe haben ich ihm ihn ihr ihre im in ist kann man mein
mit nach nicht noch nur ob oder sein seine sich sie sind so uber um und uns unter vom von vor wann war waren warum was
welche welcher welches wenn wer werden wie wir wird wo zu zum zur
""",
    "italian": """
a ad al alla alle ai agli allo che chi ci come con cui da dai dal dalla dalle dei del della delle dello di dove e ed
gli ha hanno i il in io la le lei lo loro lui ma mi nei nel nella nelle noi non o per perche piu quale quali quando
quella quelle quelli quello questa queste questi questo se si sono su sua sue sui sul sulla suo tra tu un una uno voi
""",
    "portuguese": """
a ao aos as com como da das de do dos e ela elas ele eles em entre era essa esse esta este eu foi isso isto ja lhe mais
mas me meu minha muito na nao nas nem no nos o os ou para pela pelas pelo pelos por porque qual quais quando que quem
sao se sem ser seu seus sua suas tem um uma voce
""",
    "spanish": """
a al como con cual cuales cuando de del desde donde e el ella ellas ellos en entre era es esa ese eso esta este esto
fue ha han hay la las le les lo los mas me mi mis muy ni no nos o os para pero por porque que quien se ser si sin
sobre son su sus te tu un una uno y ya yo
""",
}


def stop_words_of(language: str | None) -> frozenset[str]:
    """Stop words of a language, casefolded and without accents; none where there is no list.

    Args:
        language: a Snowball stemmer's name; of `None`, no stemming, nothing is known, and no word is a stop word.
    """
    return frozenset(_LISTS.get(language or "", "").split())
