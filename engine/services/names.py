"""Names for containers that were given none, in Docker's form: an adjective and a scientist's or hacker's surname."""

from __future__ import annotations

import re
from typing import Callable

from engine.domain.errors import InvalidArgument
from engine.services.ports import Randomness

ADJECTIVES = """
    admiring adoring agile amazing amiable beautiful blissful bold brave busy charming clever compassionate competent
    confident cool cranky dazzling determined dreamy eager ecstatic elastic elated elegant eloquent epic exciting
    fervent festive flamboyant focused friendly frosty funny gallant gifted goofy gracious great happy hardcore
    hopeful hungry infallible inspiring intelligent jolly jovial keen kind laughing loving lucid magical modest
    musing mystifying naughty nervous nice nifty nostalgic objective optimistic peaceful pedantic pensive practical
    priceless quirky quizzical recursing relaxed reverent romantic serene sharp silly sleepy stoic strange suspicious
    sweet tender thirsty trusting unruffled upbeat vibrant vigilant vigorous wizardly wonderful xenodochial youthful
    zealous zen
""".split()

SURNAMES = """
    abel allen archimedes ardinghelli babbage banach banzai bardeen bartik bassi beaver bell benz bhabha bohr booth
    borg bose boyd brahmagupta brattain brown buck cannon carson cartwright cerf chandrasekhar chaplygin chatterjee
    clarke colden cori cray curie curran darwin davinci dewdney dhawan diffie dijkstra dirac driscoll dubinsky easley
    edison einstein elion engelbart euclid euler faraday feistel fermat fermi feynman franklin gagarin galileo galois
    gates gauss germain goldberg goldstine goodall greider haibt hamilton haslett hawking heisenberg hellman hermann
    herschel hertz heyrovsky hodgkin hoover hopper hugle hypatia jackson jang jennings jepsen johnson joliot jones
    kalam kapitsa keldysh keller kepler khorana kilby kirch knuth kowalevski lalande lamarr lamport leakey leavitt
    lederberg lehmann lewin lichterman liskov lovelace lumiere mahavira margulis matsumoto maxwell mayer mccarthy
    mcclintock mclean mcnulty meitner mendel mendeleev merkle mestorf mirzakhani montalcini moore morse moser murdock
    napier nash neumann newton nightingale nobel noether northcutt noyce panini pare pascal pasteur payne perlman pike
    poincare poitras ptolemy raman ramanujan rhodes ride ritchie robinson roentgen rosalind rubin saha sammet
    sanderson satoshi shamir shannon shaw shirley shockley shtern sinoussi snyder solomon spence stonebraker sutherland
    swanson swartz swirles taussig tesla tharp thompson torvalds tu turing varahamihira vaughan villani visvesvaraya
    volhard wescoff wilbur wiles williams williamson wilson wing wozniak wright wu yalow yonath zhukovsky
""".split()

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


def check_name(name: str) -> str:
    """A container's name without the leading slash. Raises InvalidArgument with Docker's wording."""
    plain = name.removeprefix("/")
    if not _NAME.fullmatch(plain):
        raise InvalidArgument(
            f"invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return plain


def random_name(randomness: Randomness, taken: Callable[[str], bool]) -> str:
    """A free name; after six collisions with a digit behind it, as Docker does."""
    name = ""
    for attempt in range(64):
        adjective = ADJECTIVES[randomness.below(len(ADJECTIVES))]
        name = f"{adjective}_{SURNAMES[randomness.below(len(SURNAMES))]}"
        if attempt >= 6:
            name += str(randomness.below(10**(attempt // 6)))
        if not taken(name):
            break
    return name
